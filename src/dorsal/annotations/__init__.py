"""What is known or said about one image: truth and prediction are the same types. NumPy, no torch."""

from __future__ import annotations
