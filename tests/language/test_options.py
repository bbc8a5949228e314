"""What can be set, said once: the meaning, the limits and the spelling of a field."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from dorsal.language.options import check_options, described, option, options_of


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """Abstract."""

    name: Annotated[str, option("A title.")] = "study"
    seeds: Annotated[int | tuple[int, ...], option("How many, or which.", least=0)] = 1

    def __post_init__(self) -> None:
        check_options(self)


@described
class Question(Shared, frozen=True, kw_only=True):
    """A question."""

    texts: Annotated[tuple[str, ...], option("Texts.", argument=True, path=True)]
    seeds: Annotated[int | tuple[int, ...], option("How many, or which.", least=1)] = 3
    share: Annotated[float, option("A share.", name="part")] = 0.5
    way: Annotated[Literal["plain", "tricks"], option("A way.")] = "plain"
    out: Annotated[str, option("A folder.", path=True)] = ""
    size: Annotated[int | None, option("Pixels.", least=8)] = None
    unsaid: int = 0


def asked(**fields: Any) -> Question:
    return Question(**{"texts": ("a",), **fields})


def test_own_options_come_first_and_replace_shared_ones() -> None:
    said = {each.field: each for each in options_of(Question)}
    assert list(said) == ["texts", "seeds", "share", "way", "out", "size", "name"]
    assert (said["seeds"].default, said["seeds"].least, said["share"].name) == (3, 1, "part")
    assert said["texts"].default is msgspec.NODEFAULT


def test_the_docstring_says_what_each_means() -> None:
    assert Question.__doc__ is not None
    assert "- `seeds`: How many, or which. Default: 3." in Question.__doc__
    assert "- `size`: Pixels.\n" in Question.__doc__
    assert "unsaid" not in Question.__doc__


def test_values_are_put_into_their_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = asked(texts=["~/a.json", "b=~/c=d.json", "small(x=1)"], share=1, seeds=[4, 5], out=Path("~/runs"))
    assert found.texts == ("/home/me/a.json", "b=/home/me/c=d.json", "small(x=1)")
    assert (found.share, found.seeds, found.out) == (1.0, (4, 5), "/home/me/runs")
    assert asked(texts="alone").texts == ("alone",)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"seeds": 0}, "seeds=0 is below 1; nearest valid: 1"),
        ({"seeds": (3, 0)}, "seeds=0 is below 1; nearest valid: 1"),
        ({"seeds": "three"}, "seeds='three' is not a whole number or a list of whole numbers"),
        ({"seeds": 1.5}, "seeds=1.5 is not a whole number or a list of whole numbers"),
        ({"size": 7}, "size=7 is below 8; nearest valid: 8"),
        ({"share": "half"}, "share='half' is not a number"),
        ({"way": "trick"}, r"way=trick is not known; did you mean tricks\?"),
        ({"name": ""}, "name is empty; name at least one or leave it out for the default"),
        ({"texts": ()}, "texts is empty; name at least one$"),
        ({"out": "a\udcff"}, "out='a.udcff' is not UTF-8"),
        ({"texts": ("b", "\udcff")}, "is not UTF-8"),
    ],
)
def test_values_that_cannot_be_are_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        asked(**fields)
