"""Seeds added one at a time until the arms are decided."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import dorsal
from dorsal.jobs.events import JobEnd, Note
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Trial
from dorsal.report.words.comparison import caveats
from dorsal.stats.looks import FIRST_LOOK, look_confidence
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare
from tests.study.arithmetic import Arithmetic, put_in_place
from tests.study.conftest import DATA, TINY, WIDER


class Noisy(Arithmetic):
    """Arm b is better than arm a by `gap` points, and runs differ by about one point."""

    def __init__(self, gap: float) -> None:
        super().__init__(1)
        self.gap = gap

    def trial(self, run: Run) -> Trial:
        noise = np.random.default_rng([run.seed, run.arm == "b"]).normal()
        return replace(super().trial(run), score=80.0 + self.gap * (run.arm == "b") + float(noise))


def asked(out: Path, **fields: Any) -> Comparison:
    networks = (f"a={TINY}", f"b={WIDER}")
    fields = {"until_decided": True, **fields}
    return Comparison(networks=networks, recipes=("plain",), data=DATA, out=str(out), **fields)


def test_what_differs_much_is_decided_at_the_first_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(Noisy(30.0), monkeypatch)
    study = compare(asked(tmp_path / "out"))
    assert (study.seeds, study.most_seeds) == ((1, 2, 3), 20)
    assert "--until-decided" in study.command
    assert "--seeds" not in study.command
    found = dorsal.analyse(study)
    (pair,) = found.comparisons["plain"].pairs
    assert pair.significant
    assert pair.confidence == look_confidence(2, 3, 20) > 0.95
    assert any("hold at every look" in line for line in caveats(study, found))


def test_seeds_are_added_until_they_decide_and_not_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = put_in_place(Noisy(4.0), monkeypatch)
    events: list[Any] = []
    study = compare(asked(tmp_path / "out"), on_event=events.append)
    assert 3 < len(study.seeds) < 20
    assert len(engine.made) == 2 * len(study.seeds)
    said = [event.text for event in events if isinstance(event, Note) and "undecided" in event.text]
    assert said[0] == "undecided after 3 seeds: b and a; seed 4 is next"
    assert len(said) == len(study.seeds) - 3
    again: list[Any] = []
    assert compare(asked(tmp_path / "out"), on_event=again.append).seeds == study.seeds
    assert not [event for event in again if isinstance(event, JobEnd)]


def test_what_cannot_be_told_apart_ends_at_the_most_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(Noisy(0.0), monkeypatch)
    events: list[Any] = []
    assert len(compare(asked(tmp_path / "out", most_seeds=5), on_event=events.append).seeds) == 5
    assert events[-1] == Note("undecided after 5 seeds, which are as many as there may be: a and b")
    assert len(compare(asked(tmp_path / "wide", most_seeds=8, margin=20.0)).seeds) == 3  # practically equal at once


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"seeds": (1, 7)}, r"seeds=\[1, 7\] are listed, and until_decided adds 1, 2, 3, .*: seeds=2"),
        ({"seeds": 30}, "seeds=30 to begin with are more than most_seeds=20; nearest valid: most_seeds=30"),
        ({"most_seeds": 5, "until_decided": False}, "most_seeds=5 goes with until_decided; give that too, or leave"),
        ({"most_seeds": FIRST_LOOK - 1}, f"most_seeds=2 is below {FIRST_LOOK}; nearest valid: {FIRST_LOOK}"),
    ],
)
def test_seeds_that_cannot_be_added_to(fields: dict[str, Any], fault: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=fault):
        asked(tmp_path, **fields)
