"""Data opened for a task."""

from __future__ import annotations

import os

from dorsal.data.annotated import AnnotatedData
from dorsal.data.dataset import open_annotated, open_data
from dorsal.data.spec import DataSpec, data_spec
from dorsal.data.split import ImageData
from dorsal.spec.task import AnyTask, Classify, needs, task_text

AnyData = ImageData | AnnotatedData


def open_for(
    task: AnyTask, data: AnyData | DataSpec | str | os.PathLike[str], fingerprint: str | None = None
) -> AnyData:
    """Opens data for a task; data that are open for it come back as they are.

    Raises ValueError where they are open for another task, and as `open_data` and `open_annotated` do.
    """
    if isinstance(data, ImageData if not isinstance(task, Classify) else AnnotatedData):
        kind = "class labels" if isinstance(data, ImageData) else "annotations"
        raise ValueError(f"the data were opened with {kind} alone; task {task_text(task)} learns from others")
    if isinstance(task, Classify):
        assert not isinstance(data, AnnotatedData)
        return open_data(data, fingerprint=fingerprint)
    assert not isinstance(data, ImageData)
    spec = data if isinstance(data, AnnotatedData) else data_spec(data, task)
    return open_annotated(spec, needs(task), fingerprint=fingerprint)
