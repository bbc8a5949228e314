import pytest

from dorsal.data.scenes import open_scenes
from dorsal.data.spec import Scenes
from dorsal.data.split import ImageData


@pytest.fixture(scope="session")
def scenes() -> ImageData:
    return open_scenes(Scenes(train=1000, val=300))
