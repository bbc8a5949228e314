import pytest

from dorsal.data.summary import DataSummary
from dorsal.jobs.plan import Plan
from dorsal.recipes.recipe import Recipe
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.question import Comparison


@pytest.fixture
def made(summary: DataSummary, recipes: dict[str, Recipe]) -> Plan:
    """The plan that `timed.SECONDS` are of."""
    return plan_comparison(
        Comparison(networks=("small", "wide=small(widths=[128,256,512])"), seeds=3), summary, recipes
    )
