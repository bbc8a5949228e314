"""The question as TOML, as a command and as a value; and questions that cannot be."""

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorsal.language.amounts import read_duration, show_duration
from dorsal.study.comparison.question import Comparison, MatchedCost, command_line, from_toml, read_match
from dorsal.study.question import to_toml, without_password

comparisons = st.builds(
    Comparison,
    networks=st.lists(st.sampled_from(["small", "x=resnet18", "resnet50(stem=deep)"]), unique=True).map(tuple),
    recipes=st.sampled_from([("plain",), ("plain", "tricks(epochs=3)")]),
    data=st.sampled_from(["scenes", "my photos(size=96)"]),
    seeds=st.integers(1, 9) | st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5, unique=True).map(tuple),
    epochs=st.none() | st.integers(1, 300),
    match=st.sampled_from([None, "macs", "params=1.5M"]),
    workers=st.none() | st.integers(1, 64),
    threads=st.integers(1, 8),
    out=st.text("abc/ '\"é", min_size=1),
    storage=st.sampled_from([None, "sqlite:///other.db"]),
    budget=st.sampled_from([None, "10m", "1h30m"]),
    tune=st.sampled_from([None, 8, "5m"]),
)


@given(comparisons)
def test_toml_round_trip(comparison: Comparison) -> None:
    assert from_toml(to_toml(comparison)) == comparison


@given(comparisons)
def test_the_command_names_every_field_that_is_not_the_default(comparison: Comparison) -> None:
    words = shlex.split(command_line(comparison))
    assert words[:2] == ["dorsal", "compare"]
    assert tuple(words[2 : 2 + len(comparison.networks)]) == comparison.networks
    for field in ("data", "epochs", "match", "workers", "threads", "out", "storage", "budget", "tune"):
        value = getattr(comparison, field)
        given_value = words[words.index(f"--{field}") + 1] if f"--{field}" in words else None
        assert given_value == (None if value == getattr(Comparison(), field) else str(value))


def test_the_command_of_the_default_is_bare() -> None:
    assert command_line(Comparison()) == "dorsal compare"


def test_seeds_count_from_1_or_are_listed() -> None:
    assert Comparison(seeds=3).seed_list == (1, 2, 3)
    assert Comparison(seeds=(7, 0)).seed_list == (7, 0)
    assert command_line(Comparison(seeds=(7, 0))) == "dorsal compare --seeds 7,0"
    assert command_line(Comparison(seeds=(7,))) == "dorsal compare --seeds 7,"
    assert command_line(Comparison(seeds=7)) == "dorsal compare --seeds 7"


def test_default_networks_are_matched_and_named_ones_are_not() -> None:
    assert Comparison().asked_match == MatchedCost("macs", None)
    assert Comparison(match="params").asked_match == MatchedCost("params", None)
    assert Comparison(networks=("small",)).asked_match is None


def test_amounts_of_a_match() -> None:
    assert read_match("macs=20M") == MatchedCost("macs", 20_000_000)
    assert read_match("activations = 1.5k") == MatchedCost("activations", 1500)
    assert read_match("params=3G").target == 3 * 10**9


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"seeds": 0}, "seeds=0 .* nearest valid: 1"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 2, 1)}, "seeds: 1 is given twice"),
        ({"seeds": (-1,)}, "seeds: -1 must be at least 0"),
        ({"epochs": 0}, "epochs=0 is below 1; nearest valid: 1"),
        ({"workers": 0}, "workers=0 is below 1"),
        ({"threads": -2}, "threads=-2 is below 1"),
        ({"match": "mac"}, "'mac' is not a cost; did you mean macs"),
        ({"match": "macs=lots"}, "'lots' is not an amount; valid: a positive number as in 20M"),
        ({"match": "macs=0"}, "is not an amount"),
        ({"budget": "10"}, "budget='10' is not a duration; valid: .* as in 10m"),
        ({"budget": "0s"}, "budget='0s' must be positive"),
        ({"tune": 1}, "tune=1 is not a number of settings from 2, .* to 256; nearest valid: 2"),
        ({"tune": "1000"}, "tune=1000 is not .*; nearest valid: 256"),
        ({"tune": "some"}, "tune='some' is not a duration; valid: .*, or a number of settings, e.g. 8"),
        ({"tune": "1h", "budget": "30m"}, "tune='1h' leaves nothing of budget='30m' for the runs themselves"),
        ({"networks": ("resnet51",)}, "network 'resnet51': unknown network 'resnet51'; did you mean .*resnet50"),
        ({"networks": ("x=resnet50(mixr=conv)",)}, "unknown choice 'mixr' of a network; did you mean mixer"),
        ({"networks": ("resnet18(mixer=multi_scale)",)}, "multi_scale needs the 1x1 convolutions of a bottleneck"),
    ],
)
def test_questions_that_cannot_be(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Comparison(**fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("netwroks = ['small']", "unknown field 'netwroks' of a comparison; did you mean networks"),
        ("seeds = 'three'", "seeds='three' is not a whole number or a list of whole numbers"),
        ("seeds = 0", "seeds=0 .* nearest valid: 1"),
        ("seeds = 99999999999", "seeds=99999999999 is more than 10000; nearest valid: 10000"),
        ("seeds = [", "not a TOML file: Invalid value"),
    ],
)
def test_toml_files_that_cannot_be(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_toml(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:sec/ret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me:se?c=ret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:sec@r@et@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host:secret@host/db", "postgresql://me@host:***@host/db"),
        ("postgresql://:secret@host/db", "postgresql://:***@host/db"),
        ("postgresql://me:secret@host/db?options=a@b", "postgresql://me:***@host/db?options=a@b"),
        ("postgresql:///db?user=me&password=sec@ret&host=h", "postgresql:///db?user=me&password=***&host=h"),
        ("mysql://h/db?PASSWD=secret&sslpassword=secret", "mysql://h/db?PASSWD=***&sslpassword=***"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("sqlite:////tmp/a:b@c.db", "sqlite:////tmp/a:b@c.db"),
    ],
)
def test_passwords_are_hidden(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_a_command_has_no_password() -> None:
    assert "secret" not in command_line(Comparison(storage="mysql+pymysql://me:secret@host:3306/db"))


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2m5s", 125)]
)
def test_durations(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@given(st.floats(0.1, 1e6))
def test_a_shown_duration_reads_back_within_a_percent(seconds: float) -> None:
    assert read_duration(show_duration(seconds)) == pytest.approx(max(seconds, 1), rel=0.01, abs=0.51)
