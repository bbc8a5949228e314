"""What is told of a study while it runs."""

import pytest

from dorsal.cli.progress import Watch
from dorsal.jobs.events import Planned, TrialDone
from dorsal.jobs.forecast import Forecast
from dorsal.jobs.records import Trial


@pytest.mark.parametrize(("seconds", "says"), [(80.0, "about 1m20s on 2 workers"), (None, "no forecast on 2 workers")])
def test_the_forecast_is_said_first(seconds: float | None, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Watch().on_event(Planned((), Forecast(3, 1, seconds, 2, {})))
    assert capsys.readouterr().err == f"3 runs, 1 of them done; {says}\n"


@pytest.mark.parametrize(("left", "says"), [(80.0, "  about 1m20s left"), (0.0, "")])
def test_a_run_that_ended_is_one_line_with_the_time_left(
    left: float, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Watch().on_event(TrialDone(Trial("a", "plain", 1, "finished", 50.0, (), 3.0, ""), 2, 3, left))
    assert capsys.readouterr().err == f"2/3  a, plain, seed 1: 50.00 %  (3s){says}\n"
