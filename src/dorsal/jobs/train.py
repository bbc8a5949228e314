"""Training as a job: one run, from its plan to what came of it. Imports torch."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import torch

from dorsal.data.sampling import resample
from dorsal.data.split import ImageData
from dorsal.jobs.engine import Message, Predictions
from dorsal.jobs.events import Note
from dorsal.jobs.gallery import gallery_of
from dorsal.jobs.inputs import data_of, starting_weights, whole_data
from dorsal.jobs.kept import model_folder, pack
from dorsal.jobs.plan import Run, checkpoint_file, describe_error
from dorsal.jobs.records import Trial
from dorsal.jobs.resources import Resources
from dorsal.jobs.trained import DRAWN_ANEW, save_trained, trained_card
from dorsal.recipes.epoch import Epoch
from dorsal.recipes.probe import Neighbors, Probe
from dorsal.recipes.recipe import Recipe
from dorsal.spec.network import Network
from dorsal.train.loop import fit
from dorsal.train.probing import probe


def run_trial(run: Run, tell: Callable[[Message], None], *, folder: Path, place: Resources, keep_models: bool) -> Trial:
    """Makes one run, going on from its checkpoint if the study in `folder` has one. Its model is kept there if wanted.

    Whatever is raised, out-of-memory included, makes a trial of status "failed" with type, message and place.
    """
    torch.set_num_threads(place.threads)
    if not isinstance(run.recipe, Recipe):
        return _probe_trial(run, run.recipe, tell, folder, place)
    curve: list[Epoch] = []

    def on_epoch(epoch: Epoch) -> None:
        curve.append(epoch)
        tell(epoch)

    try:
        data, start = data_of(run), starting_weights(run)
        result = fit(
            run.network,
            run.recipe,
            data,
            seed=run.seed,
            device=place.device,
            precision=place.precision,
            micro_batch=place.micro_batch,
            loader_processes=place.loader_processes,
            checkpoint=checkpoint_file(folder, run.key),
            on_step=tell,
            on_epoch=on_epoch,
            start=start,
            task=run.task,
        )
        if keep_models and result.score is not None and isinstance(run.network, Network):
            card = trained_card(run.network, data, _origin(run), run.recipe, run.start, run.task)
            save_trained(model_folder(folder, run.key), result.model, card, result.score.score)
    except Exception as error:
        return run.failed(describe_error(error), tuple(curve))
    for note in result.notes:
        tell(Note(f"{run.name}: {note}"))
    seconds = sum(epoch.seconds for epoch in result.curve)
    if result.score is None or result.evidence is None:
        return Trial(run.key, "diverged", None, result.curve, seconds, result.error)
    content = pack(result.evidence, data.val.groups)
    tell(Predictions(content, gallery_of(run, result.model, data, place) if run.show else b""))
    digest = hashlib.sha256(content).hexdigest()
    return Trial(run.key, "finished", result.score.score, result.curve, seconds, "", result.score.scores, digest)


def _origin(run: Run) -> str:
    """How the model of a run comes to be."""
    drawn = "" if run.resample is None else f", {DRAWN_ANEW}"
    return f"run {run.key} of a study: {run.name}, data {run.fingerprint[:16]}{drawn}"


def _probe_trial(
    run: Run, recipe: Probe | Neighbors, tell: Callable[[Message], None], folder: Path, place: Resources
) -> Trial:
    """As `run_trial`, of a run that asks a frozen network. Its features are kept for other runs of the study."""
    began = time.monotonic()
    try:
        whole = whole_data(run)
        assert isinstance(whole, ImageData)
        found = probe(
            run.network,
            recipe,
            whole,
            draw=None if run.resample is None else resample(whole, run.resample, run.seed),
            seed=run.seed,
            start=starting_weights(run),
            folder=folder / "features",
            device=place.device,
            on_step=tell,
            on_note=lambda text: tell(Note(f"{run.name}: {text}")),
        )
        content = pack(found.evidence, found.groups)
    except Exception as error:
        return run.failed(describe_error(error))
    tell(Predictions(content))
    return Trial(
        key=run.key,
        status="finished",
        score=found.score.score,
        curve=(),
        seconds=time.monotonic() - began,
        scores=found.score.scores,
        predictions=hashlib.sha256(content).hexdigest(),
        choice=found.choice,
    )
