"""When a form is right, wrong, or not shown to be either."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from dorsal.deploy.proof import MASK_TOLERANCE, TOLERANCE, Detections, agreement, agreement_of_found, drop, unlike


def logits(count: int = 20, classes: int = 10) -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(count, classes)).astype(np.float32))


def test_the_error_is_a_share_of_the_spread_over_inputs() -> None:
    exact = logits()
    noise = np.random.default_rng(1).normal(size=(20, 10)) * 0.01
    found = agreement([a + b for a, b in zip(exact, noise, strict=True)], exact)
    whole = np.array(exact, np.float64)
    assert found.error == pytest.approx(np.linalg.norm(noise) / np.linalg.norm(whole - whole.mean(0)), rel=1e-5)
    assert found.outcome == "wrong"
    assert agreement(exact, exact).error == 0
    assert agreement(exact, exact).outcome == "right"


def test_adding_a_constant_to_the_model_changes_no_verdict() -> None:
    """Logits far from 0 are not more alike for that."""
    exact, moved = logits(), [each.astype(np.float64) + 1000 for each in logits()]
    wrong = [each + 0.001 * np.arange(10) for each in exact]
    assert agreement(wrong, exact).error == pytest.approx(
        agreement([each + 1000 for each in wrong], moved).error, rel=1e-3
    )


def test_another_first_answer_is_wrong_unless_the_first_two_are_level() -> None:
    exact = [np.array([1.0, 1.0 - 1e-3, *np.zeros(100)]) for _ in range(2)] + [np.linspace(0, 500, 102)]
    swapped = [np.array([1.0 - 1e-3, 1.0, *np.zeros(100)]) for _ in range(2)] + [np.linspace(0, 500, 102)]
    found = agreement(swapped, exact)
    assert found.error < TOLERANCE
    assert (found.flips, found.outcome) == (0, "right"), "they are level, by the spread of these outputs"
    exact[0][0] += 0.1
    assert agreement(swapped, exact).flips == 1


def test_maps_of_several_sizes_and_what_is_not_finite() -> None:
    random = np.random.default_rng(0)
    exact = [random.normal(size=(4, 8, 8)), random.normal(size=(4, 5, 9))]
    assert agreement(exact, exact).outcome == "right"
    broken = [exact[0], np.full_like(exact[1], np.nan)]
    assert agreement(broken, exact).outcome == "wrong"
    with pytest.raises(ValueError, match=r"outputs of shape \(4, 8, 8\), the model of \(4, 5, 9\)"):
        agreement([exact[0], exact[0]], exact)
    with pytest.raises(ValueError, match="one input"):
        agreement(exact[:1], exact[:1])


def right(count: int, wrong: int = 0, start: int = 0) -> np.ndarray:
    found = np.full(count, 100.0)
    found[start : start + wrong] = 0
    return found


@pytest.mark.parametrize(
    ("lost", "images", "outcome"),
    [(0, 100, "not shown"), (0, 500, "right"), (3, 1000, "right"), (15, 1000, "not shown"), (40, 1000, "wrong")],
)
def test_a_drop_of_accuracy(lost: int, images: int, outcome: str) -> None:
    found = drop(right(images, lost), right(images), most=1.0)
    assert found.value == pytest.approx(100 * lost / images)
    assert found.outcome == outcome
    if lost == 0:
        assert found.high == pytest.approx(100 * (1 - 0.05 ** (1 / images))), (
            "the exact bound of a share without a loss"
        )


def test_how_many_images_it_would_take() -> None:
    found = drop(right(100), right(100), most=1.0)
    assert found.needed is not None
    assert drop(right(found.needed), right(found.needed), most=1.0).outcome == "right"
    fewer = int(found.needed * 0.97)
    assert drop(right(fewer), right(fewer), most=1.0).outcome == "not shown"
    assert drop(right(500), right(500), most=1.0).needed is None, "it is shown"
    assert drop(right(1000, 10), right(1000), most=1.0).needed is None, "it loses just what it may"
    assert drop(right(1000, 40), right(1000), most=1.0).needed is None, "it is shown to be wrong"
    with pytest.raises(ValueError, match="they must be as many"):
        drop(right(3), right(4), most=1.0)


def test_how_many_images_would_show_that_it_is_wrong() -> None:
    """A form that loses more than it may is not shown to be right by any number of images, but to be wrong by some."""
    found = drop(right(1000, 15), right(1000), most=1.0)
    assert found.outcome == "not shown"
    assert found.needed is not None
    enough, fewer = 200 * -(-found.needed // 200), 200 * int(found.needed * 0.97 / 200)
    assert drop(right(enough, enough * 3 // 200), right(enough), most=1.0).outcome == "wrong"
    assert drop(right(fewer, fewer * 3 // 200), right(fewer), most=1.0).outcome == "not shown"
    few = drop(right(100, 2), right(100), most=1.0)
    assert few.needed is not None
    assert few.needed > 100, "also where few images are lost"


def test_a_verdict_is_wrong_as_rarely_as_is_said() -> None:
    """A form that loses exactly what it may is called right in 5 % of the draws at most, and wrong in as many."""
    random, rounds = np.random.default_rng(0), 400
    found = []
    for _ in range(rounds):
        kind = random.random(600)
        lost, gained = kind < 0.05, kind > 0.97
        found.append(drop(100.0 * ~lost, 100.0 * ~gained, most=2.0).outcome)
    allowed = stats.binom.ppf(0.999, rounds, 0.05)
    assert found.count("right") <= allowed
    assert found.count("wrong") <= allowed
    assert found.count("not shown") < rounds, "the test can decide"


def found(*objects: tuple[float, float, int], room: int = 5) -> Any:
    """Objects of one image by their left edge, score and label, in a list with room for more."""
    boxes, scores, labels = np.zeros((1, room, 4)), np.full((1, room), -1.0), np.full((1, room), -1)
    for place, (left, score, label) in enumerate(objects):
        boxes[0, place], scores[0, place], labels[0, place] = (left, 0, left + 10, 10), score, label
    return boxes, scores, labels


BOTH = ((3.0, 0.9, 1), (30.0, 0.5, 0))


def test_what_detectors_find_is_alike_within_the_tolerances() -> None:
    near = found((3.004, 0.90002, 1), (30.0, 0.5, 0))
    alike = agreement_of_found([near], [found(*BOTH)], 0.05)
    assert (alike.outcome, alike.flips, alike.inputs) == ("right", 0, 1)
    assert alike.error == pytest.approx(0.4 * TOLERANCE)
    assert agreement_of_found([found(*reversed(BOTH))], [found(*BOTH)], 0.05).outcome == "right"


def test_where_nothing_is_found_nothing_is_shown() -> None:
    nothing = agreement_of_found([found()] * 3, [found()] * 3, 0.05)
    assert (nothing.outcome, nothing.inputs) == ("not shown", 0)
    some = agreement_of_found([found(), found(*BOTH)], [found(), found(*BOTH)], 0.05)
    assert (some.outcome, some.inputs) == ("right", 1)


@pytest.mark.parametrize(
    "other",
    [
        [(3.02, 0.9, 1), BOTH[1]],
        [(3.0, 0.9, 0), BOTH[1]],
        [(3.0, 0.8, 1), BOTH[1]],
        [BOTH[0]],
        [],
        [*BOTH, (50.0, 0.4, 1)],
    ],
)
def test_what_is_missed_moved_renamed_or_made_up_is_wrong(other: Any) -> None:
    assert agreement_of_found([found(*other)], [found(*BOTH)], 0.05).outcome == "wrong"


def spread(count: int) -> list[tuple[float, float, int]]:
    """Objects whose scores are not level."""
    return [(20.0 * at, 0.9 - 0.8 * at / count, 1) for at in range(count)]


def verdict(said: Any, exact: Any, room: int = 300) -> Any:
    one = agreement_of_found([found(*said, room=room)], [found(*exact, room=room)], 0.05)
    other = agreement_of_found([found(*exact, room=room)], [found(*said, room=room)], 0.05)
    assert one == other, "it is the same, whichever of both misses something"
    return one


def test_what_hangs_on_a_rounding_is_left_out() -> None:
    many = spread(150)
    low = (9000.0, 0.05005, 1)
    assert verdict(many, [*many, low]).outcome == "right"
    assert verdict(many, [*many, low]).left_out == pytest.approx(1 / 301)
    assert verdict(many, [*many, (9000.0, 0.0502, 1)]).outcome == "wrong", "it is not that near to the threshold"
    assert verdict(many, [*many, (9000.0, 0.01, 1)]).outcome == "wrong", "it is far below the threshold"
    last = many[-1]
    instead = [*many[:-1], (9000.0, last[1] + 1e-5, 0)]
    assert verdict(instead, many, room=150).outcome == "right", "the list is full, and the last two are level"
    assert verdict(instead, many).outcome == "wrong", "there is room for both"
    assert verdict(many[:-1], many, room=150).outcome == "wrong", "there is room for the last"


def test_where_much_hangs_on_a_rounding_nothing_is_shown() -> None:
    few = [*spread(4), (9000.0, 0.05005, 1)]
    found_of_few = verdict(few[:-1], few)
    assert (found_of_few.outcome, found_of_few.flips) == ("not shown", 0)
    assert found_of_few.left_out == pytest.approx(1 / 9)
    assert verdict(few[1:-1], few).outcome == "wrong", "the first is missing, whatever else hangs on a rounding"
    assert verdict([], [few[-1]]).outcome == "not shown"


def test_a_tie_is_no_excuse_for_an_object_of_another_label() -> None:
    many = spread(150)
    tied = (9000.0, many[50][1])
    assert verdict(many, [*many, (*tied, 0)]).outcome == "wrong"
    assert verdict(many, [*many, (*tied, 1)]).outcome == "right"
    assert verdict(many[:4], [*many[:4], (9000.0, many[0][1], 1)]).outcome == "not shown"


def test_what_is_not_a_number_is_wrong() -> None:
    boxes, scores, labels = found(*BOTH)
    broken = boxes.copy()
    broken[0, 0, 2] = np.nan
    assert agreement_of_found([(broken, scores, labels)], [found(*BOTH)], 0.05).outcome == "wrong"


def with_masks(*objects: tuple[float, float, int], moved: float = 0.0, place: int = 0) -> Detections:
    """With masks of which one is `moved` at one of its places."""
    boxes, scores, labels = found(*objects)
    masks = np.random.default_rng(0).uniform(0.2, 0.8, (*scores.shape, 28, 28))
    masks[0, place, 5, 7] += moved
    return Detections(boxes, scores, labels, masks)


def test_masks_are_alike_within_their_tolerance() -> None:
    exact = with_masks(*BOTH)
    near = agreement_of_found([with_masks(*BOTH, moved=MASK_TOLERANCE / 2, place=1)], [exact], 0.05)
    assert near.outcome == "right"
    assert near.error == pytest.approx(0.5 * TOLERANCE)
    for moved in (-1.1 * MASK_TOLERANCE, 0.1, np.nan):
        far = agreement_of_found([with_masks(*BOTH, moved=moved)], [exact], 0.05)
        assert (far.outcome, far.flips) == ("wrong", 1)
    nowhere = agreement_of_found([with_masks(*BOTH, moved=0.1, place=3)], [exact], 0.05)
    assert nowhere.outcome == "right", "masks where there is no object say nothing"
    low = (*BOTH[:1], (60.0, 0.05005, 1))
    lists = [with_masks(*low, moved=0.1, place=1)], [with_masks(*low)]
    assert agreement_of_found(*lists, 0.05).outcome == "wrong", "a rounding of its score is no excuse for its mask"


def test_masks_of_only_one_of_both() -> None:
    with pytest.raises(ValueError, match="only one of the form and the model gives masks"):
        agreement_of_found([found(*BOTH)], [with_masks(*BOTH)], 0.05)


def test_how_unlike_what_is_found_is() -> None:
    assert unlike([with_masks(*BOTH)], [found(*BOTH)]) == pytest.approx(0)
    assert unlike([found(BOTH[0])], [found(*BOTH)]) == pytest.approx(0.5 / 1.4)
