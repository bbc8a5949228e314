"""Shared by all tests: one torch thread, no deadlines on a shared machine, and where the optional real data lies."""

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("dorsal", deadline=None)
hypothesis.settings.load_profile("dorsal")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real test data (environment variable DORSAL_TEST_DATA); the test is skipped where it is absent."""
    folder = Path(os.environ.get("DORSAL_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set DORSAL_TEST_DATA to run this")
    return folder
