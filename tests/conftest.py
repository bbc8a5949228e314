"""Shared by all tests: one thread each, the property tests' profiles, and where the optional real data lies.

The default run draws the same examples each time, so that it says the same of the same code. HYPOTHESIS_PROFILE=explore
draws new ones, to find what those miss.
"""

import os
from pathlib import Path

# pytest-xdist runs a test on every core, and the threads of NumPy's linear algebra would only wait for each other. Read
# when NumPy and torch are imported, here and in processes that tests start.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import hypothesis
import pytest

from dorsal.data.spec import Scenes
from dorsal.data.summary import DataSummary
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import read_recipes

hypothesis.settings.register_profile("same", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for processes that they started, or for a disk."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def summary() -> DataSummary:
    """Data that nobody opens, for plans that nobody carries out."""
    return DataSummary(
        spec=Scenes(size=48),
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


@pytest.fixture(autouse=True, scope="session")
def _migrations_are_read_once():
    """Optuna reads the files of its migrations each time a storage is opened; tests open hundreds."""
    from alembic.script import ScriptDirectory

    read, found = ScriptDirectory.from_config, {}

    def once(config):
        place = config.get_main_option("script_location")
        if place not in found:
            found[place] = read(config)
        return found[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", once)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real test data (environment variable DORSAL_TEST_DATA); the test is skipped where it is absent."""
    folder = Path(os.environ.get("DORSAL_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set DORSAL_TEST_DATA to run this")
    return folder
