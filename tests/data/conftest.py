import pytest

from dorsal.data.scenes import open_scenes
from dorsal.data.spec import Scenes
from dorsal.data.split import ImageData

WIDE = Scenes(size=48, train=1000, val=300, smallest=0.2, largest=0.9, fragments=2, held_out=100)
"""Digits of many sizes among clutter."""


@pytest.fixture(scope="session")
def scenes() -> ImageData:
    return open_scenes(WIDE)
