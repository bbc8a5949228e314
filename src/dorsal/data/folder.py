"""A folder of class folders."""

from dorsal.data.spec import Folder
from dorsal.data.split import ImageData


def open_folder(spec: Folder) -> ImageData:
    raise NotImplementedError
