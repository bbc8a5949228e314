"""Any question answered: the one call behind every verb that makes many runs."""

from __future__ import annotations

from typing import overload

from dorsal.jobs.execution import OnEvent
from dorsal.jobs.records import Study
from dorsal.jobs.scores import Scores
from dorsal.language.reader import wrong_type
from dorsal.latency.records import LatencyModel
from dorsal.study.choice.question import Choice
from dorsal.study.choice.records import ChoiceStudy
from dorsal.study.choice.run import choose
from dorsal.study.comparison.data_sets import compare_data_sets
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.records import DataSetStudies
from dorsal.study.comparison.run import compare
from dorsal.study.deployment.question import Deployment
from dorsal.study.deployment.records import DeploymentStudy
from dorsal.study.deployment.run import deploy
from dorsal.study.evaluation.question import Evaluation
from dorsal.study.evaluation.run import evaluate_models
from dorsal.study.population.question import Population
from dorsal.study.population.records import PopulationStudy, RecheckRuns
from dorsal.study.population.run import run_population
from dorsal.study.recheck.question import Recheck
from dorsal.study.recheck.run import run_recheck
from dorsal.study.search.question import Search
from dorsal.study.search.records import SearchStudy
from dorsal.study.search.run import run_search
from dorsal.study.timing.question import Timing
from dorsal.study.timing.run import measure_latency


@overload
def run(question: Comparison, *, on_event: OnEvent = ...) -> Study | DataSetStudies: ...
@overload
def run(question: Population, *, on_event: OnEvent = ...) -> PopulationStudy: ...
@overload
def run(question: Search, *, on_event: OnEvent = ...) -> SearchStudy: ...
@overload
def run(question: Recheck, *, on_event: OnEvent = ...) -> RecheckRuns: ...
@overload
def run(question: Timing, *, on_event: OnEvent = ...) -> LatencyModel: ...
@overload
def run(question: Choice, *, on_event: OnEvent = ...) -> ChoiceStudy: ...
@overload
def run(question: Evaluation, *, on_event: OnEvent = ...) -> Scores: ...
@overload
def run(question: Deployment, *, on_event: OnEvent = ...) -> DeploymentStudy: ...
def run(  # noqa: PLR0911  # one for each question
    question: Comparison | Choice | Population | Search | Recheck | Timing | Evaluation | Deployment,
    *,
    on_event: OnEvent = lambda _: None,
) -> (
    Study
    | DataSetStudies
    | ChoiceStudy
    | PopulationStudy
    | SearchStudy
    | RecheckRuns
    | LatencyModel
    | Scores
    | DeploymentStudy
):
    """Makes every run that the question takes and that its folder does not hold yet, and returns what came of all. Of a
    comparison on several data sets that is `DataSetStudies`.

    Interrupted at any point, by Ctrl-C or by kill -9 of a worker or of this process, the same call goes on where it
    was. Scripts call this under `if __name__ == "__main__":`, because workers import the main module.

    Raises ValueError before any work for a question that cannot be answered, a folder that holds something else or that
    another process is at work on, and a budget that is too small; OSError when the disk is full, with all that was
    stored intact.
    """
    match question:
        case Comparison():
            answer = compare if len(question.data_sets) == 1 else compare_data_sets
            return answer(question, on_event=on_event)
        case Choice():
            return choose(question, on_event=on_event)
        case Population():
            return run_population(question, on_event=on_event)
        case Search():
            return run_search(question, on_event=on_event)
        case Recheck():
            return run_recheck(question, on_event=on_event)
        case Timing():
            return measure_latency(question, on_event=on_event)
        case Evaluation():
            return evaluate_models(question, on_event=on_event)
        case Deployment():
            return deploy(question, on_event=on_event)
    questions = "a Comparison, Choice, Population, Search, Recheck, Timing, Evaluation or Deployment"
    raise wrong_type("question", question, f"{questions}, e.g. dorsal.Comparison(networks=('resnet18', 'resnest50'))")
