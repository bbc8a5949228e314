"""The fastest form that is right is kept, and each other one says why it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from dorsal.deploy.choose import Fate, TriedForm, choose, fastest_first, ratio
from dorsal.deploy.forms import Form
from dorsal.deploy.proof import Drop, OutputAgreement

RIGHT = OutputAgreement(error=1e-6, flips=0, inputs=8)
WRONG = OutputAgreement(error=0.1, flips=1, inputs=8)


def drop(low: float, high: float) -> Drop:
    return Drop(value=(low + high) / 2, low=low, high=high, most=1.0, images=100, needed=None)


def candidate(precision: Any, milliseconds: float, rewrite: Any = "none", **found: Any) -> TriedForm:
    phases = 1 + 0.5 * np.sin(np.arange(20))  # the same for all, as rounds are
    noise = 1 + 0.01 * np.random.default_rng(int(milliseconds)).normal(size=20)
    calls = tuple((each,) for each in (milliseconds * phases * noise).tolist()) if milliseconds else ()
    return TriedForm(form=Form("openvino", precision, rewrite), calls=calls, **found)


EAGER = candidate("float32", 50, agreement=RIGHT)
CASES: list[tuple[TriedForm, Fate]] = [
    (candidate("float32", 20, agreement=RIGHT), "chosen"),
    (EAGER, "slower"),
    (candidate("float32", 10, "apart", agreement=WRONG), "wrong"),
    (candidate("int8", 5, drop=drop(1.2, 3.0)), "wrong"),
    (candidate("int8", 6, "chunked", drop=drop(-0.5, 1.5)), "not shown"),
    (candidate("bfloat16", 30, drop=drop(-0.2, 0.4)), "slower"),
    (candidate("bfloat16", 31), "slower"),
    (candidate("int8", 40, "apart", drop=drop(1.2, 3.0)), "wrong"),
    (candidate("bfloat16", 7, "folded"), "not shown"),
    (candidate("int8", 0, "apart", impossible="it is not installed"), "impossible"),
    (candidate("int8", 0, "folded", error="RuntimeError: no"), "failed"),
]


def test_the_fastest_right_form_is_kept_and_all_others_say_why() -> None:
    found = choose([each for each, _ in CASES])
    assert [each.fate for each in found] == [fate for _, fate in CASES]
    assert [each.candidate for each in found] == [each for each, _ in CASES]
    kept, eager = found[0], found[1]
    assert kept.slower is not None
    assert (kept.slower.value, kept.slower.low, kept.slower.high) == (1, 1, 1)
    assert eager.slower is not None
    assert eager.slower.value == pytest.approx(2.5, rel=0.03)
    assert eager.slower.low is not None
    assert eager.slower.high is not None
    assert 2.4 < eager.slower.low < eager.slower.high < 2.6
    assert eager.times is not None
    assert eager.times.median.low is not None
    assert eager.times.median.low < 50 < eager.times.high
    assert (found[-1].times, found[-1].slower) == (None, None)


def test_what_is_not_shown_is_chosen_only_where_that_is_accepted() -> None:
    found = choose([each for each, _ in CASES], accept_unshown=True)
    assert [each.fate for each in found].index("chosen") == 4
    assert found[0].fate == "slower"
    assert found[3].fate == "wrong", "what is shown to be wrong never is"


def test_none_is_kept_where_none_is_right() -> None:
    found = choose([candidate("float32", 10, agreement=WRONG), candidate("int8", 5, drop=drop(2, 3))])
    assert [each.fate for each in found] == ["wrong", "wrong"]
    assert [each.slower for each in found] == [None, None]
    assert choose([]) == ()


def test_rounds_that_only_one_has_do_not_count_in_a_ratio() -> None:
    slow = replace(EAGER, calls=EAGER.calls[:5])
    found = choose([CASES[0][0], slow])
    assert [each.fate for each in found] == ["chosen", "slower"]
    assert found[1].slower == ratio(slow.times, CASES[0][0].times[:5])


def test_a_ratio_is_paired_by_round() -> None:
    """Phases of the machine change both times of a round, so that they do not widen the interval of the ratio."""
    phases = np.exp(np.random.default_rng(0).normal(size=40))
    found = ratio(2 * phases, phases)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))


def test_what_was_in_the_first_rounds_alone_is_compared_in_these() -> None:
    """From the sixth round on the machine is twice as slow. The medians say that the second one is the fastest."""
    phases = np.repeat([1.0, 2.0, 2.0, 2.0], 5)
    first = replace(candidate("float32", 10, agreement=RIGHT), calls=tuple((each,) for each in 10 * phases))
    second = replace(candidate("float32", 10, "apart", agreement=RIGHT), calls=((11.0,),) * 5)
    assert second.median < first.median
    assert fastest_first([second, first]) == [first, second]
    found = choose([second, first])
    assert [each.fate for each in found] == ["slower", "chosen"]
    assert found[0].slower is not None
    assert found[0].slower.value == pytest.approx(1.1)


def test_one_sitting_has_no_interval() -> None:
    found = ratio(np.array([2.0, 2.2, 30.0]), np.ones(5))
    assert (found.value, found.low, found.high) == (pytest.approx(2.2), None, None)


def test_an_interval_covers_what_a_process_keeps_for_as_long_as_it_lives() -> None:
    """Processes differ by 2 % and rounds by 1 %: a bootstrap over rounds would cover about half of the time."""
    random, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        first, second = (np.exp(np.repeat(random.normal(0, 0.02, 4), 5) + random.normal(0, 0.01, 20)) for _ in range(2))
        found = ratio(1.3 * first, second)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1.3 <= found.high
    assert 930 <= covered <= 970
