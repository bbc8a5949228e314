"""A network fitted to its data, and what is written out and would be overridden."""

import pytest

from dorsal.spec.adapt import fitted_to
from dorsal.spec.timm import TimmNetwork
from dorsal.zoo import network, written_choices


@pytest.mark.parametrize("net", [network("small"), TimmNetwork("resnet10t")])
def test_classes_and_channels_are_those_of_the_data(net: TimmNetwork) -> None:
    fitted = fitted_to(net, 7, 1)
    assert (fitted.head.classes, fitted.in_channels) == (7, 1)
    assert fitted_to(fitted, net.head.classes, net.in_channels) == net


def test_channels_that_are_written_out_are_not_overridden() -> None:
    text = "small(in_channels=1)"
    with pytest.raises(ValueError, match="in_channels=1 is written out, but the images have 3 channels; leave it out"):
        fitted_to(network(text), 10, 3, written_choices(text))


def test_classes_follow_the_data() -> None:
    text = "small(classes=5)"
    assert fitted_to(network(text), 10, 3, written_choices(text)).head.classes == 10


def test_what_agrees_with_the_data_may_be_written_out() -> None:
    text = "small(in_channels=3, classes=10)"
    assert fitted_to(network(text), 10, 3, written_choices(text)) == network(text)


def test_choices_written_out_are_those_of_the_text() -> None:
    assert written_choices("resnet50(stem=deep, classes=5)") == {"stem", "classes"}
    assert written_choices("timm:resnet10t(classes=5)") == {"classes"}
    assert written_choices("resnet50") == written_choices("winner.json") == frozenset()
