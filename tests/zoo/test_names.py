"""Every network answers to every name that others gave it, and to no name that nobody gave."""

import pytest

from dorsal.spec.cost import cost
from dorsal.spec.network import network_hash
from dorsal.zoo import ALIASES, NETWORKS, named, network, small
from tests.zoo.hashes import HASHES
from tests.zoo.names import NAMES, UNPUBLISHED

PAIRS = [(source, name) for source, names in NAMES.items() for name in names]


@pytest.mark.parametrize(("source", "name"), PAIRS)
def test_published_name_is_known_in_any_case(source, name):
    assert network(name) == named(name.upper()) == named(name.lower())


def test_every_network_and_alias_is_somebodys():
    published = {name.lower() for names in NAMES.values() for name in names}
    canonical = {ALIASES.get(name, name) for name in published}
    assert set(NETWORKS) - canonical == set(UNPUBLISHED)
    # timm names two of the seven fast settings; the other five follow its pattern
    assert not {alias for alias in ALIASES if alias not in published and not alias.startswith("resnest50d_")}


def test_names_of_different_networks_differ():
    assert not set(ALIASES) & set(NETWORKS)
    assert set(ALIASES.values()) <= set(NETWORKS)
    assert len(set(NETWORKS.values())) == len(NETWORKS)


def test_hashes_are_pinned():
    assert {name: network_hash(net) for name, net in NETWORKS.items()} == HASHES


def test_timm_and_torchvision_have_these_names():
    timm = pytest.importorskip("timm", reason="timm is in the test extra")
    torchvision = pytest.importorskip("torchvision")
    assert set(NAMES["timm"]) <= set(timm.list_models())
    assert set(NAMES["torchvision"]) <= set(torchvision.models.list_models())


def test_torchvision_names_mean_torchvisions_rounding():
    assert named("regnet_y_8gf") == named("regnety_080_tv") != named("RegNetY-8.0GF")
    with pytest.raises(ValueError, match="unknown network 'regnet_x_4gf'"):
        named("regnet_x_4gf")


def test_misspelt_name_gets_near_ones():
    with pytest.raises(ValueError, match=r"unknown network 'resnext50_32x4'.*resnext50_32x4d"):
        named("resnext50_32x4")


@pytest.mark.parametrize("name", [name for name in small.NETWORKS if name != "small"])
def test_small_forms_have_the_macs_of_a_small_resnet(name):
    found, wanted = (cost(named(each), 64).macs for each in (name, "resnet_small"))
    assert abs(found - wanted) <= 0.02 * wanted
    assert wanted < cost(named("resnet18"), 64).macs / 3
