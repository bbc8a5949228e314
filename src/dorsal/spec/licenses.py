"""Licenses of weights by their SPDX identifiers, and which of them let one do almost anything. No torch."""

from __future__ import annotations

from dorsal.language.reader import suggest

PERMISSIVE = "permissive"
_PERMISSIVE = (
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unlicense",
    "Zlib",
)
"""They ask for no more than that authors and license are named."""
_OTHERS = (
    "AGPL-3.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-SA-4.0",
    "GPL-3.0",
    "LGPL-3.0",
    "MPL-2.0",
)


def check_license(wanted: str) -> None:
    """Raises ValueError for a word that is neither `PERMISSIVE` nor a license."""
    known = (PERMISSIVE, *_PERMISSIVE, *_OTHERS)
    if wanted.lower() not in {word.lower() for word in known}:
        raise ValueError(f"license={wanted!r} is no license{suggest(wanted, known)}")


def is_allowed(license: str, wanted: str) -> bool:
    """Whether a license, "" where it is not known, is the `wanted` one, or one of the permissive ones."""
    if wanted.lower() == PERMISSIVE:
        return license.lower() in {word.lower() for word in _PERMISSIVE}
    return license.lower() == wanted.lower()
