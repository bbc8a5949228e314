"""Translates weights between Dorsal and other packages, and recognises which package a file is of."""

from __future__ import annotations

from dorsal.weights.formats.convert import FormatMatch, adopt, from_ours, match, to_ours
from dorsal.weights.formats.packages import FORMATS, recognise

__all__ = ["FORMATS", "FormatMatch", "adopt", "from_ours", "match", "recognise", "to_ours"]
