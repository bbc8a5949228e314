"""What a check found. No torch."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["sound", "look", "wrong", "cannot tell"]


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a check found.

    - `check`: its name, such as `inputs/statistics`.
    - `verdict`: "look" is worth a look and may be right; "cannot tell" is never said of what was not looked at.
    - `found`: what was measured, with numbers. `advice`: what to set or look at, empty where nothing is to be done.
    """

    check: str
    verdict: Verdict
    found: str
    advice: str = ""
