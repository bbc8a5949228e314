"""Object detection and instance segmentation: the parts of R-CNNs on a feature pyramid, and average precision."""

from __future__ import annotations
