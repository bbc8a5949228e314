"""The studies of tests/findings/studies.py as fixtures."""

from __future__ import annotations

import pytest

from tests.findings.conftest import broken, case, whole
from tests.findings.studies import EDGES, Case, make_case

__all__ = ["broken", "case", "edge", "whole"]


@pytest.fixture(scope="session", params=EDGES)
def edge(request: pytest.FixtureRequest) -> Case:
    """Each edge case in turn."""
    return make_case(request.param)
