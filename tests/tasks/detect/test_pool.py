"""RoIAlign: the slow twin against detectron2's numbers, the fast path against the slow twin."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dorsal.tasks.detect import pool as pool_module
from dorsal.tasks.detect.pool import RoiPool, pool_by_level
from tests.tasks.detect.golden import assert_gradient, assert_near, read_golden

STRIDES = (4, 8, 16, 32)


@pytest.fixture(scope="module")
def case():
    """Maps of two images 96 x 130 padded to 96 x 160, and boxes of every kind for each."""
    random = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 3, 96 // s, 160 // s, generator=random) for s in STRIDES]
    kinds = [
        [10.0, 20, 100, 90],
        [-30, -40, 20, 30],  # partly outside
        [140, 80, 300, 200],
        [-90, -90, -50, -60],  # outside
        [1e5, 1e5, 2e5, 2e5],
        [3, 4, 3.1, 4.1],  # tiny
        [50, 50, 50, 70],  # without width
        [60, 60, 60, 60],
        [0, 0, 56, 56],  # on the limits of levels
        [0, 0, 27.99, 28.01],
        [0, 0, 111.9, 112],
        [0, 0, 1000, 1000],
        [-4, -4, 164, 100],
        [0, 0, 160, 96],
    ]
    corners = torch.rand(30, 2, 2, generator=random) * torch.tensor([160.0, 96.0])
    boxes = torch.cat((torch.tensor(kinds), torch.cat((corners.amin(1), corners.amax(1)), 1)))
    return maps, torch.stack((boxes, boxes.flip(0) + 0.3))


def twins(pool, maps, boxes):
    """What the fast path makes of boxes [N, R, 4], and what the slow one does."""
    image, flat = torch.arange(len(boxes)).repeat_interleave(boxes.shape[1]), boxes.flatten(0, 1)
    return pool(maps, boxes), pool_by_level(pool, maps, image, flat)


@pytest.mark.parametrize(("canonical", "size"), [(224, 7), (224, 14), (56, 7)])
def test_equals_detectron2(real_data, canonical, size):
    golden = read_golden(real_data, "det_roi_align")
    maps = [golden.inputs[f"p{level}"].requires_grad_() for level in range(2, 6)]
    padding = torch.tensor([[0.0, 0, 50, 50]]).expand(5, 4)
    boxes = torch.stack((golden.inputs["boxes_0"], torch.cat((golden.inputs["boxes_1"], padding))))
    pool = RoiPool(STRIDES, size, canonical, samples=0)
    assert torch.equal(pool.levels(boxes).flatten()[:25], golden.out[f"levels_{canonical}"])
    pooled = pool(maps, boxes)[:25]
    assert_near(pooled, golden.out[f"pooled{size}_{canonical}"])
    if (canonical, size) == (56, 7):
        pooled.square().sum().backward()
        for level, x in enumerate(maps):
            assert_gradient(x.grad, golden.out[f"grad_of_sum_of_squares_7_56.p{level + 2}"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 7])
def test_rows_equal_the_slow_twin(case, dtype, size):
    maps, boxes = [x.to(dtype, copy=True).requires_grad_() for x in case[0]], case[1].to(dtype)
    pool = RoiPool(STRIDES, size, 56)
    assert torch.bincount(pool.levels(boxes).flatten(), minlength=4).min() > 0
    fast, slow = twins(pool, maps, boxes)
    tolerance = 1e-5 if dtype is torch.float32 else 1e-12
    torch.testing.assert_close(fast, slow, rtol=tolerance, atol=tolerance)
    seed = torch.randn(slow.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    for found, expected in zip(
        torch.autograd.grad(fast, maps, seed), torch.autograd.grad(slow, maps, seed), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=10 * tolerance * float(expected.abs().max()))


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.floats(-60, 200, width=32)] * 4), min_size=1, max_size=5), st.floats(10, 300))
def test_rows_equal_the_slow_twin_for_any_boxes(case, corners, canonical):
    x0, y0, x1, y1 = torch.tensor(corners).double().unbind(1)
    boxes = torch.stack((torch.minimum(x0, x1), torch.minimum(y0, y1), torch.maximum(x0, x1), torch.maximum(y0, y1)), 1)
    maps = [x.double() for x in case[0]]
    pool = RoiPool(STRIDES, 3, canonical)
    torch.testing.assert_close(*twins(pool, maps, torch.stack((boxes, boxes))), rtol=0, atol=1e-9)


def test_row_numbers_of_more_than_16_bits():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 260, 260, generator=random).requires_grad_()
    boxes = torch.tensor([[[900.0, 900, 1039, 1030], [5, 5, 600, 700]]])
    pool = RoiPool((4,), 7, 224)
    fast, slow = twins(pool, [x], boxes)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(pooled.square().sum(), x)[0] for pooled in (fast, slow)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-4 * float(gradients[1].abs().max()))


def test_gradient_is_that_of_the_function():
    random = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 2, side, side, generator=random).double().requires_grad_() for side in (6, 3)]
    boxes = torch.tensor([[[1.0, 2, 20, 15], [-3, -3, 40, 30]], [[5, 5, 6, 6], [0, 0, 24, 24]]]).double()
    pool = RoiPool((4, 8), 2, 56)
    assert set(pool.levels(boxes).flatten().tolist()) == {0, 1}
    assert torch.autograd.gradcheck(lambda *x: pool(x, boxes), maps)


def test_long_boxes_among_others_take_all_their_samples():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 40, 40, generator=random).double().requires_grad_()
    pool = RoiPool((4,), 2, 224)
    sides = torch.tensor([15.0, 16, 16.1, 24, 160])  # bins of up to 2 positions are 16 px wide here
    boxes = torch.tensor([[[3.3, 2.2, 3.3 + w, 2.2 + h] for w in sides for h in sides]]).double()
    fast, slow = twins(pool, [x], boxes)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)
    seed = torch.randn(slow.shape, dtype=slow.dtype, generator=random)
    gradients = [torch.autograd.grad(pooled, x, seed)[0] for pooled in (fast, slow)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


def test_rows_and_parts_are_those_of_the_whole(case, monkeypatch):
    maps, boxes = case
    pool, rows = RoiPool(STRIDES, 7, 56), torch.tensor([0, 1, 43, 44, 80])
    whole = pool(maps, boxes)
    assert torch.equal(pool(maps, boxes, rows), whole[rows])
    assert torch.equal(pool(maps, boxes, rows[:0]), whole[:0])
    slow = RoiPool(STRIDES, 7, 56, samples=1)
    assert torch.equal(slow(maps, boxes, rows), slow(maps, boxes)[rows])
    monkeypatch.setattr(pool_module, "PART", 10 * 3 * 49 / torch.get_num_threads())
    parts = list(pool.parts(maps, boxes))
    assert [len(part) for part in parts] == [10] * 8 + [8]
    assert torch.equal(torch.cat(parts), whole)
    assert [len(part) for part in pool.parts(maps, boxes, rows[:0])] == [0]
    assert len(list(slow.parts(maps, boxes))) == 1


def test_no_boxes(case):
    maps = [x.clone().requires_grad_() for x in case[0]]
    pooled = RoiPool(STRIDES, 7, 56)(maps, torch.zeros(2, 0, 4))
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()
    assert all(x.grad is not None and not x.grad.any() for x in maps)


def test_level_rule_in_units_of_the_anchor():
    anchor = 8.0
    pool = RoiPool(STRIDES, 7, 28 * anchor)
    sides = torch.tensor([1.0, 100, 111.9, 112.1, 223.9, 224.1, 447.9, 448.1, 5000])
    expected = 2 ** torch.floor(torch.log2(sides / (1.75 * anchor)))
    strides = torch.tensor(STRIDES)[pool.levels(torch.stack((0 * sides, 0 * sides, sides, sides), 1))]
    assert strides.tolist() == expected.clamp(4, 32).tolist()


def test_which_path_is_taken(case, monkeypatch):
    maps, boxes = case
    taken = []
    for name in ("pool_by_rows", "pool_by_level"):
        real = getattr(pool_module, name)
        monkeypatch.setattr(pool_module, name, lambda *given, _n=name, _f=real: (taken.append(_n), _f(*given))[1])
    RoiPool(STRIDES, 7, 56)(maps, boxes)
    RoiPool(STRIDES, 7, 56, samples=1)(maps, boxes)
    RoiPool(STRIDES, 7, 56)([x.bfloat16() for x in maps], boxes)
    meta = RoiPool(STRIDES, 7, 56)([x.to("meta") for x in maps], boxes.to("meta"))
    assert taken == ["pool_by_rows", "pool_by_level", "pool_by_rows", "pool_by_level"]
    assert meta.shape == (88, 3, 7, 7)


def test_another_number_of_maps_is_refused(case):
    with pytest.raises(ValueError, match=r"takes 4 maps, of strides \(4, 8, 16, 32\), not 5"):
        RoiPool(STRIDES, 7, 56)([*case[0], case[0][-1]], case[1])


class Pooling(torch.nn.Module):
    def forward(self, first, second, boxes):
        return RoiPool((4, 8), 7, 28)([first, second], boxes)


def test_exports_and_equals_itself(case):
    inputs = (case[0][0], case[0][1], case[1])
    program = torch.export.export(Pooling(), inputs)
    assert any("roi_align" in str(node.target) for node in program.graph.nodes)
    assert not any("embedding_bag" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(*inputs), Pooling()(*inputs), rtol=1e-5, atol=1e-5)
