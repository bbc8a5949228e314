"""The arms of a comparison are deployed, and timed in one contest; nothing is done twice."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import dorsal
from dorsal.data.spec import parse_data
from dorsal.deploy.bundle import make_bundle
from dorsal.deploy.forms import FILES, Form
from dorsal.deploy.proof import OutputAgreement
from dorsal.findings.comparison import analyse_comparison_in
from dorsal.jobs.events import Event, Note
from dorsal.jobs.forms import Made, Make
from dorsal.jobs.records import Study
from dorsal.jobs.rivals import Contest, OpenBundle, Timings
from dorsal.jobs.trained import trained_card
from dorsal.report.comparison.results import write_results
from dorsal.report.words.deployed_arms import TITLE
from dorsal.spec.timm import TimmNetwork
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare
from dorsal.study.comparison.saved import read_deployed
from dorsal.study.deployment import arms
from dorsal.study.deployment.arms import deploy_arms
from dorsal.study.deployment.question import Deployment
from dorsal.study.deployment.records import DeploymentStudy
from tests.report.test_deployment import FORMS
from tests.report.test_deployment import study as deployment
from tests.study.arithmetic import Arithmetic, put_in_place
from tests.study.conftest import DATA, TINY, tiny

KEPT = Form("openvino", "bfloat16", "folded")


class Faked:
    """Deploys and times nothing: the arms take 10, 20, … ms, and PyTorch eager three times that."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.deployed: list[Deployment] = []
        self.timed: list[list[Path]] = []
        self.dtypes: list[str] = []
        self.refused: set[str] = set()
        self.error = ""
        self.card = trained_card(dorsal.network(TINY), dorsal.open_data(DATA), "a test", dorsal.Recipe())
        patch.setattr(arms, "deploy", self.deploy)
        patch.setattr(arms, "time_forms", self.time)
        patch.setattr(arms, "ChildProcess", lambda *_: contextlib.nullcontext(self.make))

    def deploy(self, question: Deployment, *, on_event: Any) -> DeploymentStudy:
        on_event(Note("heard"))
        if any(each in question.out for each in self.refused):
            raise ValueError("there are too few images")
        if not (question.folder / "bundle.json").exists():
            self.deployed.append(question)
            self.bundle(question.folder, KEPT)
        made = deployment(FORMS)
        return replace(made, calibration=replace(made.calibration, data=parse_data(DATA)))

    def bundle(self, folder: Path, form: Form) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES[form.runtime]:
            (folder / name).write_text(folder.name, encoding="utf-8")
        make_bundle(folder, form, self.card, aim="latency", threads=1)

    def make(self, job: Make) -> Made:
        self.bundle(job.folder, job.form)
        return Made(agreement=OutputAgreement(error=0, flips=0, inputs=2), error=0, size=1, executed=None)

    def time(self, openers: Sequence[OpenBundle], inputs: Path, _: int, rounds: int, on_round: Any) -> Contest:
        self.timed.append([each.folder for each in openers])
        with np.load(inputs) as arrays:
            self.dtypes.append(f"{arrays['arr_0'].dtype} {arrays['arr_0'].shape}")
        on_round(rounds)
        half = len(openers) // 2
        times = [10.0 * (place + 1) if place < half else 30.0 * (place - half + 1) for place in range(len(openers))]
        found = [Timings(tuple((each + turn / 100,) * 3 for turn in range(rounds))) for each in times]
        if self.error:
            found[0] = Timings((), error=self.error)
        return Contest(tuple(found), others=0.01)


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Faked:
    put_in_place(Arithmetic(1), monkeypatch)
    return Faked(monkeypatch)


def asked(out: Path, **changes: Any) -> tuple[Study, list[str]]:
    events: list[Event] = []
    study = compare(tiny(out, deployed=True, **changes), on_event=events.append)
    return study, [event.text for event in events if isinstance(event, Note)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keep_models": False}, "deploys models that are kept; leave keep_models=false out"),
        ({"ray": "local"}, "deploys on this machine, and ray='local' is others"),
        ({"resample": "random"}, "does not go with resample=random"),
        ({"data": ("scenes", "scenes(size=64)")}, "is of one data set, and there are 2; ask it of one of them"),
    ],
)
def test_what_does_not_go_with_it_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Comparison(deployed=True, **changes)
    assert not Comparison(**changes).deployed


def test_each_arm_is_deployed_and_all_are_in_one_contest(faked: Faked, tmp_path: Path) -> None:
    study, notes = asked(tmp_path / "out")
    assert study.command.endswith(" --deployed") or " --deployed " in study.command
    keys = {run.arm: run.key for run in study.runs if run.seed == 1}
    assert [each.model for each in faked.deployed] == [str(tmp_path / "out" / "models" / keys[arm]) for arm in "ab"]
    assert {(each.data, each.threads, each.calibration) for each in faked.deployed} == {(DATA, 1, 128)}
    homes = [each.folder for each in faked.deployed]
    assert [home.parent for home in homes] == [tmp_path / "out" / "deployed"] * 2
    assert [home.name[:2] for home in homes] == ["a-", "b-"]
    (timed,) = faked.timed
    assert timed[:2] == homes
    assert len(timed) == 4
    assert faked.dtypes == ["float32 (1, 3, 32, 32)"]
    assert not (tmp_path / "out" / "deployed" / ".work").exists()
    assert notes.count("heard") == 2
    found = read_deployed(tmp_path / "out")
    assert found is not None
    assert [(each.arm, each.recipe, each.seed, each.form) for each in found.arms] == [
        ("a", "plain", 1, KEPT),
        ("b", "plain", 1, KEPT),
    ]
    assert found.arms[1].rounds == pytest.approx([20 + turn / 100 for turn in range(20)])
    assert found.arms[1].plain == pytest.approx([60 + turn / 100 for turn in range(20)])
    assert found.arms[0].loses is not None
    assert found.arms[0].score == 76.5
    assert (found.shape, found.pixels, found.left_out) == ((1, 3, 32, 32), False, {})


def test_the_same_call_does_nothing_again(faked: Faked, tmp_path: Path) -> None:
    asked(tmp_path / "out")
    before = (tmp_path / "out" / "deployed.json").read_bytes()
    asked(tmp_path / "out")
    assert (len(faked.deployed), len(faked.timed)) == (2, 1)
    assert (tmp_path / "out" / "deployed.json").read_bytes() == before
    asked(tmp_path / "out", networks=(*tiny(tmp_path).networks, f"c={TINY.replace('[16]', '[24]')}"))
    assert [len(each) for each in faked.timed] == [4, 6]  # one arm more: it is deployed, and all are timed anew
    assert len(faked.deployed) == 3


def test_interrupted_it_goes_on(faked: Faked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> Contest:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(arms, "time_forms", stop)
        with pytest.raises(KeyboardInterrupt):
            asked(tmp_path / "out")
    assert read_deployed(tmp_path / "out") is None
    asked(tmp_path / "out")
    assert (len(faked.deployed), len(faked.timed)) == (2, 1)


def test_arms_that_cannot_be_deployed_are_left_out_with_a_note(faked: Faked, tmp_path: Path) -> None:
    question = tiny(tmp_path / "out", deployed=True)
    faked.refused.add("/b-")
    study, notes = asked(tmp_path / "out")
    assert "b is not deployed: there are too few images" in notes
    foreign = replace(study.arms[1], label="theirs", network=TimmNetwork("resnet18"))
    events: list[Event] = []
    deploy_arms(question, replace(study, arms=(*study.arms, foreign)), events.append)
    assert Note("theirs is not deployed: it is a network of timm, and Dorsal deploys its own only") in events
    found = read_deployed(tmp_path / "out")
    assert found is not None
    assert [each.arm for each in found.arms] == ["a"]
    assert set(found.left_out) == {"b", "theirs"}
    deploy_arms(question, replace(study, trials=()), events.append)
    assert Note("a is not deployed: no run of it under plain has finished") in events


def test_an_arm_that_cannot_be_timed_is_tried_again(faked: Faked, tmp_path: Path) -> None:
    faked.error = "the process died"
    _, notes = asked(tmp_path / "out")
    assert "a is deployed and could not be timed: the process died" in notes
    found = read_deployed(tmp_path / "out")
    assert found is not None
    assert ([each.arm for each in found.arms], found.left_out) == (["b"], {"a": "the process died"})
    faked.error = ""
    asked(tmp_path / "out")
    again = read_deployed(tmp_path / "out")
    assert again is not None
    assert ([each.arm for each in again.arms], again.left_out) == (["a", "b"], {})
    assert len(faked.deployed) == 2


def test_where_one_takes_pixels_all_are_given_pixels(faked: Faked, tmp_path: Path) -> None:
    asked(tmp_path / "out")
    path = faked.deployed[0].folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"pixels": True}), encoding="utf-8")
    (tmp_path / "out" / "deployed.json").unlink()
    asked(tmp_path / "out")
    assert faked.dtypes[-1] == "uint8 (1, 32, 32, 3)"
    found = read_deployed(tmp_path / "out")
    assert found is not None
    assert found.pixels


def test_the_findings_are_of_the_arms_that_are_there(faked: Faked, tmp_path: Path) -> None:
    study, _ = asked(tmp_path / "out")
    found = analyse_comparison_in(study, tmp_path / "out")
    assert found.deployed is not None
    a, b = found.deployed.rows
    assert (a.arm, b.arm) == ("a", "b")
    assert a.median.value == pytest.approx(10.095, rel=1e-3)
    assert b.slower.value == pytest.approx(20.095 / 10.095, rel=1e-3)
    assert a.gain is not None
    assert a.gain.value == pytest.approx(30.095 / 10.095, rel=1e-3)
    cell = found.cell("a", "plain")
    assert cell is not None
    assert a.score is not None
    assert cell.score is not None
    loses = found.deployed.arm("a").loses
    assert loses is not None
    assert a.score.value == pytest.approx(cell.score.value - loses.value)
    write_results(study, found, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "results.json").read_bytes())["analysis"]["deployed"]
    assert [row["arm"] for row in written["rows"]] == ["a", "b"]
    for asked_of in (study, tmp_path / "out"):
        dorsal.write_report(asked_of, tmp_path / "out")
        assert TITLE in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    others = replace(study, runs=tuple(replace(run, key=f"{run.key}x") for run in study.runs), trials=())
    assert analyse_comparison_in(others, tmp_path / "out").deployed is None


@pytest.mark.slow
def test_a_real_comparison_is_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dorsal.deploy.possible import _why_no_runtime
    from dorsal.study.deployment import run as deploying

    monkeypatch.setenv("CXX", "no-such-compiler")  # compilers take a minute for each form
    monkeypatch.setattr(deploying, "_WHOLE", deploying._TEST._replace(images=None))
    monkeypatch.setattr(arms, "_ROUNDS", 2)
    _why_no_runtime.cache_clear()
    study, notes = asked(tmp_path / "out", seeds=1, epochs=1)
    _why_no_runtime.cache_clear()
    found = analyse_comparison_in(study, tmp_path / "out").deployed
    assert found is not None, notes
    assert [each.arm for each in found.rows] == ["a", "b"]
    assert all(each.median.value > 0 for each in found.rows)
