"""Small maps take the forms of large ones, so that tests of networks are tests of both."""

import pytest

from dorsal.nn import plain


@pytest.fixture(autouse=True)
def _no_map_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "LARGE", 0)
