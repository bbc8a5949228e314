"""A dilated trunk computes what the undilated one does, at more places: where that holds exactly, and where it cannot.

That dilated networks are those of other implementations at output strides 8 and 16, ResNeSt's of its authors' among
them, is in test_parity.py.
"""

import pytest
import torch

from dorsal.nn.build import build
from dorsal.spec.adapt import with_output_stride
from dorsal.zoo import network
from tests.nn.test_forms import FAMILIES, made

# A strided convolution is the plain one at every second place, and later ones reach the same places by dilation. So
# every place of an undilated map is found in the dilated one, borders included, except in three kinds of networks.
ATTENTION = "a gate sees the mean of the whole map, and there are more places in it"
SHORTCUT_POOL = "a 2x2 pool of the shortcut is left out with its stride, as the authors of ResNeSt do"
THIRD_POOL = "a 3x3 mean takes neighbors, also where the network's places are two apart: the last stage at a quarter"
EXCEPTIONS = {
    **dict.fromkeys(["resnet-d", "res2net-d", "dla"], SHORTCUT_POOL),
    **dict.fromkeys(["se", "sk", "resnest", "resnest-fast", "regnety", "regnetz", "crossed"], ATTENTION),
    **dict.fromkeys(["res2net", "res2next", "res2netplus"], THIRD_POOL),
}
IMAGE = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def differences(text, state, share):
    """By stage whose stride shrank, the largest difference of the undilated maps from those places of the dilated."""
    net = network(text)
    plain, dilated = build(net).double().eval(), build(with_output_stride(net, net.total_stride // share)).double()
    plain.load_state_dict(state)
    dilated.eval().load_state_dict(state)
    found = {}
    with torch.no_grad():
        pairs = zip(plain.info, dilated.info, plain.features(IMAGE), dilated.features(IMAGE), strict=True)
        for wide, narrow, few, many in pairs:
            step = wide.stride // narrow.stride
            if step > 1:
                found[wide.name] = float((many[:, :, ::step, ::step] - few).abs().max() / few.abs().max())
    return list(found.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_place_of_the_undilated_maps_is_in_the_dilated_ones(family):
    state = made(family).state_dict()
    (half,) = differences(FAMILIES[family], state, 2)
    quarter, last = differences(FAMILIES[family], state, 4)
    exception = EXCEPTIONS.get(family)
    if exception in (None, THIRD_POOL):
        assert max(half, quarter) < 1e-12
        assert (last < 1e-12) == (exception is None)
    else:
        assert min(half, quarter, last) > 1e-3


def test_resnests_pool_alone_is_exact_after_the_mixer_where_one_stage_is_dilated():
    """Without attention and the shortcut's pool, the pool after the mixer is exact where Res2Net's is. In the fast
    forms the pool stands before the mixer, whose 3x3 convolution then has neighbors two places apart, but one if
    dilated: the first block of a stage keeps the dilation of the stage before, in the authors' code too."""
    edits = "depths=[1, 1, 2, 2], widths=[64, 128, 256, 512], classes=7"
    torch.manual_seed(0)
    state = build(network(f"resnet50({edits})")).state_dict()
    after, before = (f"resnet50({edits}, downsample={place})" for place in ("pool_after", "pool_before"))
    assert max(differences(after, state, 2)) < 1e-12
    quarter, last = differences(after, state, 4)
    assert quarter < 1e-12
    assert last > 1e-3
    assert min(*differences(before, state, 2), *differences(before, state, 4)) > 1e-3
