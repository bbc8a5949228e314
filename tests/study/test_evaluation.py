"""Models scored as jobs: what comes of them, what is kept, and that nothing is scored twice."""

import hashlib
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

import dorsal
from dorsal.data.dataset import EvaluationBatches
from dorsal.findings.contributions import compare_models
from dorsal.jobs import evaluate as jobs
from dorsal.jobs.evaluate import score_model
from dorsal.jobs.events import EvaluationStart, Event, JobEnd, Note, Progress
from dorsal.jobs.kept import predictions_file, read_predictions
from dorsal.jobs.records import ModelScore
from dorsal.jobs.resources import Resources
from dorsal.jobs.scores import ScoreRow, Scores, read_scores
from dorsal.jobs.study_file import StudyFile, write_study_file
from dorsal.report.words.pairs import leader_sentences
from dorsal.spec.preprocessing import Preprocessing
from dorsal.study.comparison.run import compare
from dorsal.study.evaluation.plan import notes_of, plan_evaluations
from dorsal.study.evaluation.question import Evaluation
from dorsal.study.evaluation.run import evaluate_models
from dorsal.tasks.classify.score import score_of
from dorsal.tasks.method import Method
from dorsal.tasks.score import Scorer
from dorsal.weights.saved import make_card, save_state
from dorsal.zoo import network
from tests.processes import still_running
from tests.study.conftest import DATA, TINY, WIDER, Session, tiny
from tests.weights.states import random_state

CLASSES = tuple("0123456789")


def model(folder: Path, text: str = TINY, seed: int = 0) -> str:
    """A model with random weights."""
    net = network(text)
    card = make_card(
        net,
        classes=CLASSES,
        preprocessing=Preprocessing(image_size=32, resize=32),
        metrics={},
        license="none",
        source="a test",
        origin="a test",
    )
    save_state(folder, {name: each.float() for name, each in random_state(net, seed=seed).items()}, card)
    return str(folder)


def asked(models: list[str], out: Path, **changes: object) -> Evaluation:
    return Evaluation(**{"models": tuple(models), "data": DATA, "out": str(out), "workers": 2, **changes})  # type: ignore[arg-type]


def told(question: Evaluation) -> tuple[Scores, list[Event]]:
    events: list[Event] = []
    return evaluate_models(question, on_event=events.append), events


def scored(events: list[Event]) -> list[str]:
    return [event.job.name for event in events if isinstance(event, JobEnd)]


def without_times(scores: Scores) -> list[ScoreRow]:
    replace = msgspec.structs.replace
    return [replace(each, result=replace(each.result, seconds=0.0)) for each in scores.models]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [model(folder / "a"), model(folder / "b", WIDER), model(folder / "c", seed=1)]


def test_jobs_score_as_one_call_does_and_keep_what_was_said(models: list[str], tmp_path: Path) -> None:
    scores, events = told(asked(models, tmp_path / "x"))
    assert scores == read_scores(tmp_path / "x")
    assert [each.name for each in scores.models] == models
    for each, plan in zip(scores.models, plan_evaluations(asked(models, tmp_path / "x")), strict=True):
        alone, found = score_model(plan.job, "cpu").score(), each.result
        assert (found.score, found.scores, found.per_class) == (alone.score, alone.scores, alone.per_class)
        assert found.loss == pytest.approx(alone.loss)
        assert found.images == 32
        said = read_predictions(tmp_path / "x", found)
        assert score_of(said) == found.score
        assert said["logits"].shape == (32, 10)
    (planned,) = [event for event in events if isinstance(event, EvaluationStart)]
    assert (planned.summary, planned.forecast.runs, planned.forecast.done) == ("32 validation scenes", 3, 0)
    assert (planned.forecast.seconds or 0) > 0
    assert planned.forecast.disk_bytes == 3 * 32 * (2 * 10 + 8)
    ended = [event for event in events if isinstance(event, JobEnd)]
    assert [event.done for event in ended] == [1, 2, 3]
    assert ended[-1].seconds_left == 0
    compared = compare_models(scores, tmp_path / "x")
    assert compared is not None
    assert {pair.better for pair in compared.pairs} | {pair.worse for pair in compared.pairs} == set(models)
    assert all(pair.image_half is not None and pair.seed_half is None for pair in compared.pairs)
    assert all("over" in sentence for sentence in leader_sentences(compared))
    assert compare_models(scores, tmp_path / "elsewhere") is None


def test_what_is_scored_is_not_scored_again(models: list[str], tmp_path: Path) -> None:
    question = asked(models[:2], tmp_path)
    first, _ = told(question)
    again, events = told(question)
    assert scored(events) == []
    assert again.models == first.models
    (planned,) = [event for event in events if isinstance(event, EvaluationStart)]
    assert (planned.forecast.done, planned.forecast.seconds) == (2, 0)
    more, events = told(msgspec.structs.replace(question, models=(*models, models[0]), batch=7))
    assert scored(events) == models[2:]
    assert [each.name for each in more.models] == [*models, models[0]]
    for other in ({"image_size": 40}, {"split": "all"}, {"data": "scenes(train=320, val=40, size=32)"}):
        _, events = told(asked(models[:1], tmp_path, **other))
        assert scored(events) == models[:1]
    assert len(list((tmp_path / "predictions").iterdir())) == 3 + 3


def test_what_another_question_replaces_is_told_first(models: list[str], tmp_path: Path) -> None:
    told(asked(models[:2], tmp_path))

    def notes(**changes: object) -> list[str]:
        _, events = told(asked(models[1:], tmp_path, **changes))
        return [event.text for event in events if isinstance(event, Note)]

    assert notes() == [
        f"{tmp_path} holds scores on 32 validation scenes: 1 of the 2 asked for now are reused; scores.json is "
        "replaced, without 1 of its scores, which stay in the store"
    ]
    assert notes(split="val") == []
    assert notes(split="train") == [
        f"{tmp_path} holds scores on 32 validation scenes: 0 of the 2 asked for now are reused; scores.json is "
        "replaced, without 2 of its scores, which stay in the store"
    ]


def test_a_model_that_fails_is_told_of_and_tried_again(models: list[str], tmp_path: Path) -> None:
    broken = model(tmp_path / "broken", seed=5)
    weights = tmp_path / "broken" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    question = asked([broken, models[0]], tmp_path / "x")
    scores, events = told(question)
    assert [each.result.score is None for each in scores.models] == [True, False]
    assert "is damaged or of another model" in scores.models[0].result.error
    assert any("could not be timed" in event.text for event in events if isinstance(event, Note))
    weights.write_bytes(whole)
    scores, events = told(question)
    assert scored(events) == [broken]
    assert all(each.result.score is not None for each in scores.models)


def test_the_models_that_a_study_has_kept(tmp_path: Path) -> None:
    study = compare(tiny(tmp_path / "study", epochs=1))
    scores = dorsal.run(Evaluation(models=(str(tmp_path / "study"),), data=DATA, out=str(tmp_path / "x")))
    assert [each.name for each in scores.models] == [f"{run.arm}, plain, seed {run.seed}" for run in study.runs]
    own = {trial.key: trial.score for trial in study.trials}
    assert {Path(each.model).name: each.result.score for each in scores.models} == own
    ids = {plan.job.key for plan in plan_evaluations(Evaluation(models=(str(tmp_path / "study"),), data=DATA))}
    assert len(ids) == 4
    plan = plan_evaluations(Evaluation(models=(scores.models[0].model,), data=DATA, split="all"))[0]
    assert any("was trained on a part of these images" in note for note in plan.notes)
    stored = (tmp_path / "study" / "study.db").read_bytes()
    with pytest.raises(ValueError, match=r"^out='.*study' holds a comparison; name another folder$"):
        told(asked([scores.models[0].model], tmp_path / "study"))
    assert (tmp_path / "study" / "study.db").read_bytes() == stored
    write_study_file(tmp_path / "empty", StudyFile(study, "", ()))
    with pytest.raises(ValueError, match="has kept no models: name folders of models"):
        plan_evaluations(Evaluation(models=(str(tmp_path / "empty"),), data=DATA))


def test_killed_it_goes_on_and_ends_as_if_it_had_not_been(models: list[str], tmp_path: Path) -> None:
    question = asked(models, tmp_path / "x", batch=8, workers=1)
    session = Session(question, hold=models[1:])
    session.until(lambda event: event["kind"] == "JobEnd")
    session.until(lambda event: event["kind"] == "Progress")
    session.workers()[0].kill()
    death = session.until(lambda event: event["kind"] == "Note")["text"]
    assert death == f"{models[1]}: worker died (signal 9, most likely for want of memory); it is done again"
    session.release(models[1])
    session.until(lambda event: event["kind"] == "JobEnd")
    workers = session.workers()
    session.process.kill()
    session.end()
    assert still_running(workers, 60) == []
    stored = [event["job"]["name"] for event in session.kinds("JobEnd")]
    scores, events = told(question)
    assert stored == models[:2]
    assert scored(events) == models[2:]
    assert {event.job.name for event in events if isinstance(event, Progress)} == set(models[2:])
    unbroken, _ = told(asked(models, tmp_path / "y", batch=8, workers=2))
    assert without_times(scores) == without_times(unbroken)
    for each in scores.models:
        found = each.result
        content = predictions_file(tmp_path / "x", found.key).read_bytes()
        assert hashlib.sha256(content).hexdigest() == found.predictions


def test_a_changed_model_or_changed_images_are_other_jobs(models: list[str], tmp_path: Path) -> None:
    (plan,) = plan_evaluations(asked(models[:1], tmp_path))
    changed = msgspec.structs.replace(plan.job, digest="other")
    with pytest.raises(ValueError, match="changed after the evaluation was planned"):
        score_model(changed, "cpu")
    (other,) = plan_evaluations(asked([model(tmp_path / "m", seed=9)], tmp_path))
    assert other.job.key != plan.job.key


def test_a_note_is_said_once_and_names_its_models_where_it_is_not_of_all(models: list[str], tmp_path: Path) -> None:
    plans = plan_evaluations(asked(models, tmp_path / "x"))
    shared = "scenes: 20 training and 32 validation images"
    a, b, c = (
        msgspec.structs.replace(plan, notes=notes)
        for plan, notes in zip(plans, ((shared, "x"), (shared, "x"), (shared,)), strict=True)
    )
    assert list(notes_of([a, b, c])) == [shared, f"{models[0]}, {models[1]}: x"]
    assert list(notes_of([a])) == [shared, "x"]


def test_a_refusal_names_the_model_where_there_are_several(models: list[str], tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=f"^{nowhere}: '{nowhere}' holds no model: there is no such folder"):
        plan_evaluations(asked([*models, nowhere], tmp_path / "x"))
    with pytest.raises(ValueError, match=f"^'{nowhere}' holds no model"):
        plan_evaluations(asked([nowhere], tmp_path / "x"))


def test_places_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="gpus=1 is for runs on a Ray cluster; give ray as well"):
        Evaluation(models=("x",), gpus=1)
    with pytest.raises(ValueError, match="device='tpu' is not there"):
        Evaluation(models=("x",), device="tpu")
    with pytest.raises(ValueError, match="threads=0 is below 1"):
        Evaluation(models=("x",), threads=0)


def test_one_model_has_all_cores_unless_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dorsal.study.evaluation.question.available_cores", lambda: 12)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").touch()
    one, several, study = ("x",), ("x", "y"), (str(tmp_path / "study"),)
    assert Evaluation(models=one).resources.threads == Evaluation(models=one, out="z").resources.threads == 12
    assert Evaluation(models=one, threads=3).resources.threads == 3
    for models, place in ((several, {}), (study, {}), (one, {"workers": 2}), (one, {"ray": "local"})):
        assert Evaluation(models=models, **place).resources.threads == 1  # type: ignore[arg-type]


def test_a_first_batch_is_not_in_the_forecast(
    models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock moves by 100 seconds in the first call and by one in each after it."""
    now, steps = [0.0], iter([100.0, 1.0])
    batches: list[int] = []

    def scored(method: Method, model: nn.Module, images: EvaluationBatches, device: torch.device) -> Scorer:
        now[0] += next(steps)
        batches.append(len(images))
        return score(method, model, images, device)

    score = jobs.scored
    monkeypatch.setattr(jobs, "scored", scored)
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    (plan,) = plan_evaluations(asked(models[:1], tmp_path, split="all", batch=8))
    assert jobs.time_evaluation(plan.job, place=Resources(device="cpu")) == 352 / jobs.TIMED_IMAGES
    assert batches == [1, jobs.TIMED_IMAGES / 8]


def test_a_model_that_failed_has_no_score(models: list[str], tmp_path: Path) -> None:
    (plan,) = plan_evaluations(asked(models[:1], tmp_path))
    assert plan.job.failed("why") == ModelScore(key=plan.job.key, score=None, seconds=0.0, error="why")
