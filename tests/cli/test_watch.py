"""What is told of a study while it runs."""

import pytest

from dorsal.cli.watch import Watch
from dorsal.study.events import Planned
from dorsal.study.forecast import Forecast


@pytest.mark.parametrize(("seconds", "says"), [(80.0, "about 1m20s on 2 workers"), (None, "no forecast on 2 workers")])
def test_the_forecast_is_said_first(seconds: float | None, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Watch().on_event(Planned((), Forecast(3, 1, seconds, 2, {})))
    assert capsys.readouterr().err == f"3 runs, 1 of them done; {says}\n"
