"""Annotated data sets: a reader for each format, one index for all of them, and their check. No torch."""

from __future__ import annotations
