"""What a fitted latency model says of networks it has not seen, and where it says nothing. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dorsal.jobs.machine import machine, runtime_versions, versions
from dorsal.language.reader import suggest
from dorsal.latency.records import (
    MODEL,
    Caution,
    LatencyFit,
    LatencyModel,
    OtherMachine,
    OtherSpaces,
    OtherVersion,
    PredictorUse,
    Refusal,
    fingerprint,
    predictor_columns,
    read_latency,
)
from dorsal.space.space import Space
from dorsal.space.table import Column


def read_latency_model(path: Path) -> LatencyModel:
    """The model in a file, or in the folder of a measurement. Raises ValueError as `read_latency` does."""
    return read_latency(path / MODEL if path.is_dir() else path, LatencyModel)


class LatencyPredictor:
    """Milliseconds of one call at one batch from cost columns: a `space.sample.Predictor`.

    A network is predicted where each predictor and the image size lie within what the fit has seen, ends included,
    and the prediction is positive. Elsewhere the answer is NaN, which meets no bound: a linear fit is a description of
    the networks it has seen, and sampling by a bound would pick just those where it is wrong. `asked` and `outside`
    count networks, `reasons` those outside by the predictor that was, and by quantity those of no positive prediction.
    """

    def __init__(self, fit: LatencyFit) -> None:
        self.fit = fit
        ranges = zip(fit.fitted.low, fit.fitted.high, strict=True)
        self.ranges = {**dict(zip(fit.fitted.predictors, ranges, strict=True)), "image_size": fit.image_sizes}
        self.asked = self.outside = 0
        self.reasons: Counter[str] = Counter()

    def __call__(self, costs: Mapping[str, Column]) -> NDArray[np.float64]:
        """Milliseconds, one a network, from the columns of `space.costs` and `image_size`."""
        columns = {**predictor_columns(costs), "image_size": np.asarray(costs["image_size"], dtype=np.float64)}
        milliseconds = self.fit.fitted.predict(columns, extrapolate=True)
        predicted = milliseconds > 0
        self.reasons[self.fit.quantity] += int((~predicted).sum())
        for name, (low, high) in self.ranges.items():
            inside = (columns[name] >= low) & (columns[name] <= high)
            self.reasons[name] += int((~inside).sum())
            predicted &= inside
        self.asked += predicted.size
        self.outside += int((~predicted).sum())
        return np.where(predicted, milliseconds, np.nan)

    def check(self, space: Space) -> None:
        """Raises ValueError where no image size of the space is one that the fit has seen."""
        low, high = self.ranges["image_size"]
        axis = space.compiled.axes.get("image_size")
        sizes = axis.written if axis else (space.image_size,)
        if not any(low <= size <= high for size in sizes):
            raise ValueError(
                f"image_size={', '.join(map(str, sizes))} of {space.name}: {self.fit.quantity} was measured at "
                f"{low:g}{f' to {high:g}' * (high > low)} px and is predicted for no other; nearest valid: "
                f"{low if max(sizes) < low else high:g}"
            )

    def use(self) -> PredictorUse:
        """How good the prediction is, and for how many networks it was refused so far."""
        scores = self.fit.scores
        return PredictorUse(
            quantity=self.fit.quantity,
            error=scores.scores[-1].error,
            confidence=scores.confidence,
            networks=scores.n,
            asked=self.asked,
            outside=self.outside,
            reasons=tuple(
                Refusal(name, low, high, count)
                for name, count in self.reasons.most_common()
                if count
                for low, high in [self.ranges.get(name, (None, None))]
            ),
        )


def predictors(model: LatencyModel) -> dict[str, LatencyPredictor]:
    """For each call and batch of the model, by quantity, what predicts it."""
    return {fit.quantity: LatencyPredictor(fit) for fit in model.fits}


def latency_bounds(model: LatencyModel, texts: Sequence[str]) -> dict[str, str]:
    """Bounds by quantity from texts: `5..8` in ms where the model has one call and batch, else `forward_b1_ms=5..8`.

    Raises ValueError for a quantity that the model has not, or that is given twice.
    """
    known = [fit.quantity for fit in model.fits]
    bounds: dict[str, str] = {}
    for text in texts:
        name, equals, bound = text.partition("=")
        if not equals:
            if len(known) > 1:
                raise ValueError(f"latency={text!r} of what? valid: {' or '.join(f'{name}={text}' for name in known)}")
            name, bound = known[0], text
        if name not in known:
            raise ValueError(f"latency: the model does not predict {name!r}{suggest(name, known)}")
        if name in bounds:
            raise ValueError(f"latency: {name} is bounded twice, by {bounds[name]} and {bound}")
        bounds[name] = bound
    return bounds


def named_bounds(bounds: dict[str, str], latency_model: str) -> dict[str, str]:
    """The bounds with `latency` under the name of the quantity that the model predicts.

    Raises ValueError where there is no model, or it predicts several quantities and the bound does not say which.
    """
    if "latency" not in bounds:
        return bounds
    if not latency_model:
        raise ValueError("--latency needs --latency-model, which `dorsal space latency` makes")
    others = {name: text for name, text in bounds.items() if name != "latency"}
    return others | latency_bounds(read_latency_model(Path(latency_model)), [bounds["latency"]])


def cautions(model: LatencyModel, spaces: Sequence[str]) -> tuple[Caution, ...]:
    """What should be known before the model predicts latencies of networks of `spaces` for this machine, if anything;
    `report.words.latency` says it."""
    here, there = machine(model.setting.device, 1, model.setting.threads), model.machine
    found: list[Caution] = []
    if fingerprint(here) != fingerprint(there):
        found.append(OtherMachine(fingerprint(there), fingerprint(here)))
    installed = versions() | runtime_versions()
    for package in model.setting.packages:
        if (now := installed.get(package, "")) != (then := model.versions.get(package, "")):
            found.append(OtherVersion(then, now, package))
    if unknown := tuple(space for space in spaces if space not in model.spaces):
        found.append(OtherSpaces(model.spaces, unknown))
    return tuple(found)
