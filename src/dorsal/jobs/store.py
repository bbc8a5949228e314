"""What came of jobs, as trials of Optuna studies. Optuna is imported when a store is opened.

What is in flight lives in checkpoints alone, so nothing here is ever stale. Trials are added, never altered; of several
with one key the latest counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import msgspec

from dorsal.jobs.records import Outcome, Trial, Visit

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


class Range(msgspec.Struct, frozen=True, tag="range"):
    """Whole numbers, or real ones, from `low` to `high`."""

    low: float
    high: float
    whole: bool


class Categories(msgspec.Struct, frozen=True, tag="choices"):
    """Any of these values."""

    values: tuple[Value, ...]


Value = bool | int | float | str
Values = Mapping[str, Value]
Domains = Mapping[str, Range | Categories]
"""What a parameter can be, by its name."""

SEEDS = Range(0, 2**31 - 1, whole=True)

STORE_SCHEMA = 2
HIDDEN = "***"
"""What stands for a password."""
_SCHEMA_ATTRIBUTE = "dorsal_schema"


class Store:
    """The trials of one study in an Optuna storage; a context manager that lets go of it at the end.

    The values of an Optuna parameter stay the same throughout an Optuna study, so each set of domains (the arms and
    recipes of a comparison, the axes of a space) has an Optuna study of its own, `name/digest`. `trials` reads them
    all: with one arm more, what has been run counts.

    Raises ValueError when the storage cannot be opened, is not one, or holds another schema; nothing is altered then.
    """

    def __init__(self, url: str, name: str) -> None:
        import optuna

        self._url, self._name = url, name
        with self._errors(ValueError, "cannot be opened"):
            # A server may have dropped a connection since it was last used; SQLite has none to drop.
            kept = {} if url.startswith("sqlite") else {"pool_pre_ping": True}
            self._storage = optuna.storages.RDBStorage(url, engine_kwargs=kept)
            studies = self._studies()
        for study in studies:
            schema = study.user_attrs.get(_SCHEMA_ATTRIBUTE)
            if schema != STORE_SCHEMA and study.get_trials(deepcopy=False):
                raise ValueError(
                    f"storage {without_password(url)}: study {study.study_name!r} has schema {schema} and this version "
                    f"of dorsal reads {STORE_SCHEMA}; name another folder or study, or use the version that wrote it"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def outcomes(self) -> dict[str, Outcome]:
        """What came of every job that has ended, by its key."""
        with self._errors(ValueError, "cannot be read"):
            frozen = [trial for study in self._studies() for trial in study.get_trials(deepcopy=False)]
        frozen.sort(key=lambda trial: trial.datetime_complete or datetime.min)
        try:
            return {t.user_attrs["key"]: msgspec.json.decode(t.user_attrs["outcome"], type=Outcome) for t in frozen}
        except msgspec.ValidationError as error:
            where = without_password(self._url)
            raise ValueError(
                f"storage {where} holds what another version of Dorsal stored ({error}); name another folder"
            ) from None

    def trials(self) -> dict[str, Trial]:
        """Every training run that has ended, by its key."""
        return {key: outcome for key, outcome in self.outcomes().items() if isinstance(outcome, Trial)}

    def add(self, outcome: Outcome, domains: Domains, values: Values) -> None:
        """Stores what came of a job.

        Optuna's tools see it as a trial with parameters `values`; `domains` gives each parameter's range or choices.
        Its objective is a score, to be maximised, or the milliseconds of a visit, to be minimised. Raises OSError when
        it cannot be written, e.g. on a full disk; what is there stays.
        """
        from optuna.trial import TrialState, create_trial

        timed = isinstance(outcome, Visit)
        value = outcome.milliseconds if isinstance(outcome, Visit) else outcome.score
        frozen = create_trial(
            state=TrialState.FAIL if value is None else TrialState.COMPLETE,
            value=value,
            params=dict(values),
            distributions={name: _distribution(domains[name]) for name in values},
            intermediate_values={epoch.epoch: epoch.score for epoch in getattr(outcome, "curve", ())},
            user_attrs={
                "key": outcome.key,
                "error": outcome.error,
                "outcome": msgspec.json.encode(outcome).decode(),
            },
        )
        with self._errors(OSError, "cannot be written, what it holds is safe"):
            self._study_of(domains, "minimize" if timed else "maximize").add_trial(frozen)

    def _studies(self) -> list[optuna.Study]:
        import optuna

        names = [name for name in optuna.get_all_study_names(self._storage) if name.startswith(f"{self._name}/")]
        return [optuna.load_study(study_name=name, storage=self._storage) for name in names]

    def _study_of(self, domains: Domains, direction: Literal["maximize", "minimize"]) -> optuna.Study:
        import optuna

        digest = hashlib.sha256(msgspec.json.encode(domains)).hexdigest()[:8]
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce the study
        try:
            study = optuna.create_study(
                study_name=f"{self._name}/{digest}", storage=self._storage, direction=direction, load_if_exists=True
            )
        finally:
            optuna.logging.set_verbosity(level)
        if _SCHEMA_ATTRIBUTE not in study.user_attrs:
            study.set_user_attr(_SCHEMA_ATTRIBUTE, STORE_SCHEMA)
        return study

    @contextlib.contextmanager
    def _errors(self, kind: type[ValueError] | type[OSError], what: str) -> Iterator[None]:
        """Turns what Optuna and SQLAlchemy raise into one sentence."""
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError) as error:
            cause = error.__cause__ or error
            reason = str(getattr(cause, "orig", None) or cause).splitlines()[0]
            raise kind(f"storage {without_password(self._url)} {what}: {reason}") from error


def _distribution(domain: Range | Categories) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match domain:
        case Categories(values):
            return CategoricalDistribution(values)
        case Range(low, high, whole):
            return IntDistribution(int(low), int(high)) if whole else FloatDistribution(low, high)


def without_password(url: str) -> str:
    """A storage URL with `HIDDEN` for its password, be that before the host or in the query.

    A password that is not quoted as it should be may have any character, so all up to the last @ is taken for it.
    """
    url = re.sub(r"(?<=://)([^:/]*):[^@]*@(?:[^?]*@)?", rf"\1:{HIDDEN}@", url)
    return re.sub(r"([?&][^=&]*passw[^=&]*=)[^&]*", rf"\1{HIDDEN}", url, flags=re.IGNORECASE)
