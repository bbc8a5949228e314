from typing import Literal

import msgspec
import pytest

from dorsal.language.amounts import read_amount, show_amount
from dorsal.language.fields import read_fields, show
from dorsal.language.reader import Call, Reader, suggest


class Photos(msgspec.Struct, frozen=True, tag="photos"):
    path: str
    size: int = 224
    share: float = 0.2
    crop: Literal["area", "pad"] = "area"
    limit: int | None = 9
    mirror: bool = False
    stages: tuple[int, ...] = ()


def read(text: str) -> dict[str, object]:
    return read_fields(Reader(text).named().arguments, Photos, "a folder", name_field="path")


def test_a_name_may_be_any_text():
    assert Reader("~/my photos/2024").named() == Call("~/my photos/2024", {})
    assert Reader("../cats (new) (size=64)").named() == Call("../cats (new)", {"size": 64})


def test_arguments_may_stand_alone():
    assert Reader("stem=deep, widths=[8, 16]").fields() == {"stem": Call("deep", {}), "widths": [8, 16]}
    assert Reader(" ").fields() == {}
    with pytest.raises(ValueError, match="expected the end at character 7"):
        Reader("size=1) or").fields()


def test_fields_are_read_by_their_types():
    assert read("here(size=64, share=1, crop=pad, limit=none, mirror=true, stages=[1, 2])") == {
        "size": 64,
        "share": 1.0,
        "crop": "pad",
        "limit": None,
        "mirror": True,
        "stages": (1, 2),
    }
    assert read("here") == {}
    assert read("here(share=.05)")["share"] == 0.05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("here(siez=64)", r"unknown field 'siez' of a folder; did you mean size\?"),
        ("here(path=there)", "unknown field 'path' of a folder; valid: size, share, crop, limit, mirror, stages"),
        ("here(size=big)", "size=big is not a whole number"),
        ("here(size=2.5)", "size=2.5 is not a whole number"),
        ("here(share=all)", "share=all is not a number"),
        ("here(mirror=yes)", "mirror=yes is not true or false"),
        ("here(crop=padd)", r"crop=padd is not known; did you mean pad\?"),
        ("here(crop=pad(n=1))", "expected the end at character 19"),
        ("here(stages=3)", "stages=3 is not a list of whole numbers"),
        ("here(size=64", r"expected '\)' at character 13, found the end"),
        ("here(size)", "expected '='"),
    ],
)
def test_mistakes_are_named(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        read(text)


def test_values_are_shown_as_they_are_read():
    given = {"size": 64, "share": 0.25, "crop": "pad", "limit": None, "mirror": True, "stages": (1, 2)}
    assert read(f"here({', '.join(f'{field}={show(value)}' for field, value in given.items())})") == given


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("conf", ["conv", "multi_scale"], "; did you mean conv?"),
        ("linear", ["linear.w0", "linear.wa", "line"], "; did you mean linear.w0 or linear.wa?"),
        ("xyz", ["conv", "multi_scale"], "; valid: conv, multi_scale"),
        ("xyz", [f"net{n}" for n in range(1200)], "; there are 1,200, see `dorsal list`"),
        ("xyz", [], "; there are none"),
    ],
)
def test_what_was_meant(word: str, known: list[str], hint: str):
    assert suggest(word, known, "dorsal list") == hint


def test_all_words_are_listed_where_no_command_does():
    known = [f"net{n}" for n in range(100)]
    assert suggest("xyz", known) == f"; valid: {', '.join(known)}"


@pytest.mark.parametrize("text", ["1.5G", "399.98M", "300k", "17"])
def test_amounts_are_shown_as_they_are_read(text: str):
    assert show_amount(read_amount("macs", text)) == text
