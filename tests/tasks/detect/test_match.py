"""Matching against detectron2's labels; sampling as a function of random numbers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dorsal.tasks.detect.match import draw_numbers, match, sample
from tests.tasks.detect.golden import read_golden


@pytest.mark.parametrize("case", ["boxes", "hand", "zero_row", "no_gt"])
@pytest.mark.parametrize("padding", [0, 2])
def test_matches_equal_detectron2(real_data, case, padding):
    golden = read_golden(real_data, "det_matcher")
    overlap = golden.out["iou"] if case == "boxes" else golden.inputs[f"{case}_iou"]
    valid = torch.ones(len(overlap), dtype=torch.bool)
    padding = max(padding, int(len(overlap) == 0))  # no objects are spelt as objects that do not count
    overlap = torch.cat((overlap, torch.ones(padding, overlap.shape[1])))
    valid = torch.cat((valid, torch.zeros(padding, dtype=torch.bool)))
    assert len(golden.config["matchers"]) == 5
    for matcher in golden.config["matchers"]:
        thresholds = matcher["thresholds"]
        found = match(overlap, valid, thresholds[0], thresholds[-1], matcher["low_quality"])
        assert torch.equal(found.label, golden.out[f"{matcher['name']}.{case}.label"])
        assert torch.equal(found.place, golden.out[f"{matcher['name']}.{case}.matched"])


def test_matches_by_hand():
    # Object 0 ties in two boxes, object 1 is best where object 0 is better, object 2 overlaps nothing.
    overlap = torch.tensor([[0.2, 0.2, 0.7, 0.5], [0.0, 0.0, 0.6, 0.29], [0.0, 0.0, 0.0, 0.0]])
    seen = torch.tensor([True, True, False])
    assert match(overlap, seen, 0.3, 0.7).label.tolist() == [0, 0, 1, -1]
    assert match(overlap, seen, 0.3, 0.7, forced=True).label.tolist() == [0, 0, 1, -1]
    tied = torch.where(overlap == 0.7, 0.2, overlap)
    found = match(tied, torch.tensor([True, True, False]), 0.3, 0.7, forced=True)
    assert found.label.tolist() == [0, 0, 1, 1]
    assert found.place.tolist() == [0, 0, 1, 0]
    everywhere = match(overlap, torch.tensor([True, True, True]), 0.3, 0.7, forced=True)
    assert everywhere.label.tolist() == [1, 1, 1, 1]
    assert everywhere.place.tolist() == [0, 0, 0, 0]
    nothing = match(overlap, torch.zeros(3, dtype=torch.bool), 0.3, 0.7, forced=True)
    assert nothing.label.tolist() == [0, 0, 0, 0]


LABELS = st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=9, max_size=9), min_size=1, max_size=3)


@settings(max_examples=40)
@given(LABELS, st.integers(1, 12), st.floats(0, 1), st.integers(0, 9))
def test_samples_are_balanced(labels, number, share, seed):
    label = torch.tensor(labels)
    draws = draw_numbers(torch.zeros(*label.shape, 4), torch.Generator().manual_seed(seed))
    found = sample(label, draws, number, share)
    assert found.place.shape == found.valid.shape == found.positive.shape == (len(labels), min(number, 9))
    for row, (index, valid, positive) in enumerate(zip(*found, strict=True)):
        chosen = index[valid]
        assert len(chosen.unique()) == len(chosen)
        assert (label[row][chosen] == 1).tolist() == positive[valid].tolist()
        assert not (positive & ~valid).any()
        assert positive.tolist() == sorted(positive.tolist(), reverse=True)
        objects, background = int((label[row] == 1).sum()), int((label[row] == 0).sum())
        wanted = min(objects, int(number * share))
        assert int(positive.sum()) == wanted
        assert int(valid.sum()) == min(number, wanted + background)


def test_a_sample_is_a_function_of_the_seed_and_uniform():
    label = torch.tensor([[0, 1, 1, 0, 1, -1, 0, 1]])
    boxes = torch.zeros(1, 8, 4)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(8)
    for _ in range(1000):
        found = sample(label, draw_numbers(boxes, generator), 3, 0.34)
        counts[found.place[found.valid]] += 1
    assert counts[5] == 0
    assert torch.all((counts[label[0] == 1] - 250).abs() < 60)  # one of four; four standard deviations are 55
    assert torch.all((counts[label[0] == 0] - 667).abs() < 60)  # two of three

    def drawn(seed):
        return sample(label, draw_numbers(boxes, torch.Generator().manual_seed(seed)), 3, 0.34).place.tolist()

    assert drawn(3) == drawn(3)
    assert len({str(drawn(seed)) for seed in range(20)}) > 5
