"""Networks of timm as text: what is read, what is written, and what is refused, all without timm."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorsal.spec.network import network_hash
from dorsal.spec.timm import TimmNetwork, hash_of, parse_timm, timm_text
from dorsal.zoo import any_network, named, network

networks = st.builds(
    TimmNetwork,
    name=st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
    classes=st.integers(1, 10_000),
    in_channels=st.integers(1, 8),
)


@given(networks)
def test_text_reads_back_as_the_network(net: TimmNetwork) -> None:
    assert parse_timm(timm_text(net)) == net == any_network(f" {timm_text(net)} ")


def test_defaults_are_left_out_of_the_text() -> None:
    assert timm_text(TimmNetwork("vgg11")) == "timm:vgg11"
    assert timm_text(TimmNetwork("vgg11", classes=10)) == "timm:vgg11(classes=10)"


def test_hashes_tell_networks_apart_and_stay() -> None:
    nets = [named("resnet50"), *(TimmNetwork(*fields) for fields in [("resnet50",), ("vgg11",), ("vgg11", 10)])]
    assert len({hash_of(net) for net in nets}) == 4
    assert hash_of(named("resnet50")) == network_hash(named("resnet50"))
    assert hash_of(TimmNetwork("vgg11", 10)) == "8c426f2b7f08e64a"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("timm:", "'timm:' names no network of timm; expected e.g. timm:efficientnet_b0"),
        ("timm:vgg11(class=10)", "unknown field 'class' of timm:vgg11; did you mean classes"),
        ("timm:vgg11(stem=deep)", "unknown field 'stem' of timm:vgg11; valid: classes, in_channels"),
        ("timm:vgg11(classes=1.5)", "classes=1.5 is not a whole number"),
        ("timm:vgg11(classes=many)", "classes=many is not a whole number"),
        ("timm:vgg11(in_channels=0)", "in_channels=0 is below 1; nearest valid: 1"),
        ("timm:hub/vgg11", "cannot read 'timm:hub/vgg11': expected the end at character 9"),
    ],
)
def test_texts_that_cannot_be(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        any_network(text)


def test_where_only_our_own_networks_do_those_of_timm_are_refused() -> None:
    with pytest.raises(ValueError, match="timm:vgg11 is of timm and can be shown and compared, nothing else"):
        network("timm:vgg11(classes=10)")


def test_reading_needs_neither_timm_nor_torch() -> None:
    code = "import sys; from dorsal.zoo import any_network; any_network('timm:vgg11'); "
    code += "print('torch' in sys.modules, 'timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
