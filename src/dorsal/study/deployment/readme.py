"""The card of a deployed model for people."""

from __future__ import annotations

from dorsal.deploy.bundle import Bundle
from dorsal.deploy.forms import RUNTIMES
from dorsal.spec.metric import Metric
from dorsal.spec.task import metric_of
from dorsal.study.deployment.records import DeploymentStudy


def bundle_readme(bundle: Bundle, study: DeploymentStudy) -> str:
    """README.md of the bundle."""
    card, kept = bundle.card, study.kept
    assert kept is not None
    assert kept.times is not None
    metric = metric_of(card.task)
    runtime = f"{RUNTIMES[bundle.runtime]} {next(iter(bundle.versions.values()))}"
    trusted = "" if study.is_trusted else " Other work disturbed the measurement; it is not to be trusted."
    lines = [
        f"# {card.text}",
        "",
        f"This model runs in {runtime}, in {bundle.precision}. `python predict.py IMAGE...` says what is in images; it "
        f"needs numpy, Pillow and {RUNTIMES[bundle.runtime]}.",
        "",
        f"- Classes: {len(bundle.classes):,}. Images are prepared so: {bundle.preprocessing.describe()}.",
        f"- License of the weights: {card.license}. Source: {card.source}.",
        f"- Trained on: {card.trained_on or 'nobody says what'}.",
        f"- {_proof(study, metric)}",
        f"- {_time(study)} with {study.threads} threads on {study.machine.processor} "
        f"({', '.join(study.instructions) or 'instruction sets not known'}).{trusted}",
        f"- All forms that were tried are in `deployment.json`; `dorsal report` on this folder prints them. Made by "
        f"`{study.command}`.",
        "- `source/` has the weights that all of it was made of. Production does not need it; "
        "`dorsal deploy --again` does.",
        "",
    ]
    return "\n".join(lines)


def _time(study: DeploymentStudy) -> str:
    """How long a call takes, of the graph that is in the folder."""
    kept = study.kept
    assert kept is not None
    assert kept.times is not None
    sizes, rounds = "x".join(map(str, study.shape)), len(kept.candidate.calls)
    inside = study.pixels is not None and study.pixels.taken
    median = study.pixels.median.value if study.pixels is not None and inside else kept.times.median.value
    call = f"call of {sizes}, whose pixels the graph normalizes," if inside else f"call of {sizes}"
    if study.aim == "throughput":
        return f"With several calls at once, a {call} takes {median:.2f} ms of all time"
    most = "" if inside else f" ({rounds} rounds; 95 % of calls at most {kept.times.high:.2f} ms)"
    return f"A {call} takes {median:.2f} ms{most}"


def _proof(study: DeploymentStudy, metric: Metric) -> str:
    kept = study.kept
    assert kept is not None
    whole = f"The model's {metric.name} is {study.score:.2f} % on {study.images}."
    drop, agreement = kept.candidate.drop, kept.candidate.agreement
    if drop is not None:
        said = "shown to lose" if drop.outcome == "right" else "not shown to lose"
        return f"{whole} This form loses {drop.value:.2f} points there and is {said} no more than {drop.most:g}."
    assert agreement is not None
    return f"{whole} This form's outputs are within {agreement.error:.1e} of the spread of the model's."
