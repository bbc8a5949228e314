import pytest

from dorsal.data.split import ImageData
from dorsal.spec.network import Network
from tests.train.tiny import make_data, make_network


@pytest.fixture(scope="session")
def data() -> ImageData:
    return make_data()


@pytest.fixture(scope="session")
def network() -> Network:
    return make_network()
