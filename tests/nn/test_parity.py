"""Same state, same answer and same gradients as implementations that are not ours.

The complete matrix is `pytest -m slow tests/nn/test_parity.py`; its record, docs/parity.json, is made by
`python -m tests.nn.matrix`.
"""

import msgspec
import pytest
import torch

from dorsal.nn.build import build
from dorsal.zoo import NETWORKS, named, small
from tests.nn.matrix import RECORD, Case, Record, cases
from tests.nn.oracles import BY_HAND, Oracle, compare, oracles

SMALL, PUBLISHED = ((64, 64), (65, 65)), ((224, 224), (225, 225))
QUICK = [
    *(Case(name, "by hand", ((32, 32), (33, 33))) for name in ("resnet20", "resnet110")),
    *(Case(name, "by hand", SMALL) for name in ("res2netplus50",)),
    *(Case(name, "torchvision", SMALL) for name in ("resnet18", "regnetx_004_tv", "regnety_008_tv")),
    *(Case(name, "pycls", SMALL) for name in ("resnext50_32x4d", "regnetx_002", "regnety_002")),
    *(Case(name, "resnest", SMALL) for name in ("resnest50", "resnest50_fast_1s4x24d", "resnest50_fast_4s2x40d")),
    *(Case(name, "timm", SMALL) for name in ("resnet26d", "skresnet18")),
    *(Case(name, "timm", SMALL) for name in ("res2net50_14w_8s", "res2net50d", "res2next50", "regnetz_005")),
    *(Case(name, "timm", ((64, 64), (64, 96))) for name in ("dla60", "dla60_res2net")),
    *(Case(name, "timm", SMALL, stride) for name in ("resnet18", "regnety_008") for stride in (8, 16)),
    Case("resnest50_fast_4s2x40d", "resnest", SMALL, 8),
]
QUICK_AT_PUBLISHED_SIZE = [
    Case("resnet18d", "timm", PUBLISHED),
    Case("resnest14", "timm", PUBLISHED),
    Case("dla60_res2next", "timm", ((224, 224), (192, 256))),
    Case("regnety_004", "pycls", PUBLISHED),
]


def identify(case):
    size = "x".join(map(str, case.sizes[-1]))
    return f"{case.network}-{case.package}-{size}" + (f"-os{case.output_stride}" if case.output_stride < 32 else "")


def installed(package):
    if package not in ("torchvision", "by hand"):
        pytest.importorskip(package, reason=f"{package} is not installed")


@pytest.mark.parametrize("case", QUICK, ids=identify)
def test_logits_and_all_gradients_are_equal(case):
    installed(case.package)
    assert case.run().largest < case.tolerance


@pytest.mark.parametrize("case", QUICK_AT_PUBLISHED_SIZE, ids=identify)
def test_equal_at_the_published_image_size(case):
    """Ceil modes and counted padding of average pools differ at odd sizes alone."""
    installed(case.package)
    found = compare(named(case.network), case.oracle(), case.sizes, parameters=False)
    assert found.largest < case.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(), ids=identify)
def test_complete_matrix(case):
    installed(case.package)
    assert case.run().largest < case.tolerance


def test_record_is_of_all_cases_and_without_failure():
    record = msgspec.json.decode(RECORD.read_bytes(), type=Record)
    results = {result.case: result.difference.largest for result in record.results}
    assert set(results) == set(cases())
    assert all(largest < case.tolerance for case, largest in results.items())


def test_every_published_network_has_an_oracle():
    assert [name for name in NETWORKS if not oracles(name)] == list(small.NETWORKS)


def test_comparison_notices_the_aliasing_bug():
    aliased = Oracle("by hand", *BY_HAND["res2netplus50_aliased"], None)
    found = compare(named("res2netplus50"), aliased, ((64, 64),), parameters=False)
    assert found.logits > 1e-3


def test_timm_dilates_resnest_without_the_pools_of_its_authors():
    pytest.importorskip("timm", reason="timm is in the test extra")
    found = Case("resnest14", "timm", ((64, 64),), output_stride=8).run()
    assert found.logits > 1e-3


def test_dla_takes_odd_sizes_that_timms_refuses():
    timm = pytest.importorskip("timm", reason="timm is in the test extra")
    with torch.device("meta"):
        images = torch.empty(1, 3, 65, 65)
        ours, theirs = build(named("dla60")), timm.create_model("dla60")
        with pytest.raises(RuntimeError, match=r"16.*17"):
            theirs(images)
        assert [tuple(each.shape[2:]) for each in ours.features(images)][1:] == [(17, 17), (9, 9), (5, 5), (3, 3)]
