"""Small maps take the forms of large ones here. That both are equal is tested in test_fast_cpu.py."""

import pytest

from dorsal.nn import plain


@pytest.fixture(autouse=True)
def _no_map_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "LARGE", 0)
