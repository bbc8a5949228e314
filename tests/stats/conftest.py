import pytest

from dorsal.stats import arms


@pytest.fixture
def light(monkeypatch):
    """`compare_arms` without p values and needed seeds, which take nearly all of its time, for simulations."""
    monkeypatch.setattr(arms, "_need", lambda *_: None)
    monkeypatch.setattr(arms, "_adjusted_p", lambda *_: 0.5)
