"""The studies of tests/findings/studies.py as fixtures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.findings.studies import Case, make_case


@pytest.fixture(scope="session")
def case() -> Callable[[str], Case]:
    """The edge case of this name."""
    return make_case


@pytest.fixture(scope="session")
def whole() -> Case:
    """The study in which everything finished."""
    return make_case("whole")


@pytest.fixture(scope="session")
def broken() -> Case:
    return make_case("broken")
