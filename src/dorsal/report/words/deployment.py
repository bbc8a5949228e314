"""A deployment in words: which form is kept, how fast and how right it is, and why each other one is not."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from dorsal.deploy.choose import Judged, TriedForm
from dorsal.deploy.forms import PRECISIONS, RUNTIMES, Form, Runtime
from dorsal.deploy.proof import OutputAgreement
from dorsal.jobs.forms import BUSY
from dorsal.report.words.numerals import NONE, listed, plural
from dorsal.spec.metric import Metric
from dorsal.spec.task import metric_of
from dorsal.stats import Estimate
from dorsal.study.deployment.records import DeploymentStudy

COLUMNS = ("ms", "95 %", "× kept", "MiB in use", "MiB of files", "fate")
_REWRITES = {
    "none": "as trained",
    "folded": "norms folded",
    "chunked": "split attention chunked",
    "apart": "a convolution for each split",
}
_TOLD_LAYERS = 3


def form_name(form: Form) -> str:
    """A form in a sentence: "OpenVINO, int8, norms folded"."""
    return f"{RUNTIMES[form.runtime]}, {form.precision}, {_REWRITES[form.rewrite]}"


def conclusions(study: DeploymentStudy) -> tuple[str, ...]:
    """What came of it, the most important first."""
    return (*_kept(study), *_pixels(study), *_trust(study), *_executed(study))


def rows(study: DeploymentStudy) -> list[tuple[str, ...]]:
    """The figures of each form that can exist here, the fastest first."""
    return [(each.candidate.form.name.replace("-", " "), *_figures(each, study)) for each in _possible(study)]


def reasons(study: DeploymentStudy) -> tuple[str, ...]:
    """Why forms are not kept that are not slower: each that is wrong, not shown to be right or failed, then those that
    cannot exist here, by reason."""
    metric = metric_of(study.task)
    told = ("wrong", "not shown", "failed")
    return (
        *(f"{form_name(each.candidate.form)} {fate(each, metric)}." for each in _possible(study) if each.fate in told),
        *_impossible(study),
    )


def fate(each: Judged, metric: Metric) -> str:
    """Why a form is kept or is not, after its name."""
    candidate = each.candidate
    match each.fate:
        case "chosen":
            return f"is kept: {_proof(candidate, metric)}"
        case "slower":
            return f"takes {_times(each.slower)} the time"
        case "wrong":
            return f"is wrong: {_proof(candidate, metric)}"
        case "not shown":
            return f"is not shown to be right: {_proof(candidate, metric)}"
        case "failed":
            return f"failed: {candidate.error}"
        case "impossible":
            return f"cannot exist here: {candidate.impossible}"


def _possible(study: DeploymentStudy) -> list[Judged]:
    """The forms that can exist here, the fastest first."""
    there = (each for each in study.forms if each.fate != "impossible")
    return sorted(there, key=lambda each: (each.slower.value if each.slower else inf, each.candidate.median))


def _impossible(study: DeploymentStudy) -> Iterator[str]:
    """Which forms cannot exist on this machine, a sentence for each reason: runtimes, or their precisions."""
    by_reason: dict[str, dict[Runtime, list[str]]] = {}
    for each in study.forms:
        if each.fate == "impossible":
            form = each.candidate.form
            named = by_reason.setdefault(each.candidate.impossible, {}).setdefault(form.runtime, [])
            named += [form.precision] if form.precision not in named else []
    for reason, found in by_reason.items():
        names = [
            RUNTIMES[runtime] + ("" if set(PRECISIONS) <= set(those) else f" in {listed(those)}")
            for runtime, those in found.items()
        ]
        yield f"{listed(names)} cannot exist here: {reason}."


def _kept(study: DeploymentStudy) -> Iterator[str]:
    metric, kept = metric_of(study.task), study.kept
    if kept is None or kept.times is None:
        yield (
            "No form is right, so none is kept. Give more images to prove on, a larger --max-drop, or --accept-unshown "
            "where forms are not shown to be right."
        )
        return
    median = kept.times.median
    several = ", with several calls at once" if study.aim == "throughput" else ""
    spread = "" if median.low is None else f" ({median.low:.2f} to {median.high:.2f})"
    yield (
        f"{form_name(kept.candidate.form)} is kept: {median.value:.2f} ms{spread} for {plural(study.batch, 'image')} "
        f"on {plural(study.threads, 'thread')}{several}, {_proof(kept.candidate, metric)}. The model's {metric.name} "
        f"is {study.score:.2f} % on {study.images}."
    )
    plain = [each for each in study.forms if each.candidate.form == Form("torch", "float32", "none") and each.slower]
    if plain and plain[0] is not kept:
        yield f"PyTorch eager in float32 takes {_times(plain[0].slower)} the time."
    if kept.candidate.outcome == "not shown":
        yield "It is not shown to be right: --accept-unshown was given."


def _pixels(study: DeploymentStudy) -> Iterator[str]:
    if study.pixels is None:
        return
    slower, taken = study.pixels.slower, study.pixels.taken
    faster = slower.high is not None and slower.high < 1
    shown = ", but is not shown to be right" if faster and not taken else ""
    yield (
        f"Normalizing images in its graph takes {_times(slower)} the time of normalizing them before{shown}, so they "
        f"are normalized {'there' if taken else 'before'}."
    )


def _trust(study: DeploymentStudy) -> Iterator[str]:
    if not study.is_trusted:
        yield (
            f"Other work took up to {100 * study.others:.0f} % of the processor while forms were timed, and more than "
            f"{100 * BUSY:.0f} % is too much: the times are not to be trusted. Measure again on an idle machine."
        )


def _executed(study: DeploymentStudy) -> Iterator[str]:
    """What the kept form computes in, and forms that do not compute as they were asked to."""
    if (kept := study.kept) is not None:
        if (done := kept.candidate.done) is None:
            yield f"{RUNTIMES[kept.candidate.form.runtime]} does not tell in which precision it computes."
        else:
            shares = [f"{_percent(share)} in {each}" for each, share in done.items() if share >= 0.005]
            yield f"Of its MACs it does {listed(shares)}."
    for each in study.forms:
        form, done = each.candidate.form, each.candidate.done
        if done is None or form.precision in ("float32", "mixed") or done[form.precision] > 0.99:
            continue
        layers = each.candidate.fallen
        more = f" and {len(layers) - _TOLD_LAYERS:,} more" if len(layers) > _TOLD_LAYERS else ""
        yield (
            f"{form_name(form)} does {_percent(done[form.precision])} of its MACs in {form.precision}; not so "
            f"{', '.join(layers[:_TOLD_LAYERS])}{more}."
        )


def _figures(each: Judged, study: DeploymentStudy) -> tuple[str, ...]:
    candidate, times = each.candidate, each.times
    return (
        NONE if times is None else f"{times.median.value:.2f}",
        NONE if times is None or study.aim == "throughput" else f"{times.high:.2f}",
        NONE if each.slower is None else f"{each.slower.value:.2f}",
        NONE if candidate.memory is None else f"{candidate.memory:,.0f}",
        NONE if candidate.size is None else f"{candidate.size:,.1f}",
        "kept" if each.fate == "chosen" else each.fate,
    )


def _percent(share: float) -> str:
    """A share that says 100 % only where it is all."""
    rounded = f"{100 * share:.0f} %"
    return f"{100 * share:.1f} %" if share < 1 and rounded == "100 %" else rounded


def _proof(candidate: TriedForm, metric: Metric) -> str:
    """What is known of how right a form is."""
    if candidate.form.precision == "float32":
        return "nobody has compared it" if candidate.agreement is None else _agreement(candidate.agreement)
    drop = candidate.drop
    if drop is None:
        return "nobody has proven it"
    ends = f"{drop.low:.2f} to {drop.high:.2f}, at most {drop.most:g}"
    lost = f"it loses {drop.value:.2f} points of {metric.name} ({ends})"
    if drop.outcome != "not shown":
        return lost
    if drop.needed is None:
        return f"{lost} on {drop.images:,} images, about as much as it may lose: more images would not decide"
    return f"{lost} on {drop.images:,} images; about {drop.needed:,} would decide"


def _agreement(found: OutputAgreement) -> str:
    if not found.inputs:
        return "nothing is found in the images that it is compared on"
    if found.outcome == "not shown":
        return f"{100 * found.left_out:.1f} % of what is found hang on a rounding and cannot be compared"
    flips = f" and {plural(found.flips, 'answer')} of {found.inputs} are others" if found.flips else ""
    return f"outputs differ by {found.error:.1e} of their spread{flips}"


def _times(ratio: Estimate | None) -> str:
    if ratio is None:
        return "an unknown multiple of"
    ends = "" if ratio.low is None else f" ({ratio.low:.2f} to {ratio.high:.2f})"
    return f"{ratio.value:.2f}{ends} times"
