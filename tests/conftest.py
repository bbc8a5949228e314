"""Shared by all tests: one torch thread, the property tests' profiles, and where the optional real data lies.

The default run draws the same examples each time, so that it says the same of the same code. HYPOTHESIS_PROFILE=explore
draws new ones, to find what those miss.
"""

import os
from pathlib import Path

import hypothesis
import pytest

from dorsal.data.spec import Scenes
from dorsal.data.summary import DataSummary
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import read_recipes

hypothesis.settings.register_profile("same", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def summary() -> DataSummary:
    """Data that nobody opens, for plans that nobody carries out."""
    return DataSummary(
        spec=Scenes(),
        classes=tuple("0123456789"),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        fingerprint="f" * 64,
        train_images=1000,
        val_images=100,
        constant=10.0,
    )


@pytest.fixture
def recipes() -> dict[str, Recipe]:
    """Two recipes of five epochs."""
    return read_recipes(["plain", "tricks"], 5)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real test data (environment variable DORSAL_TEST_DATA); the test is skipped where it is absent."""
    folder = Path(os.environ.get("DORSAL_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set DORSAL_TEST_DATA to run this")
    return folder
