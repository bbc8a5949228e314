"""What a task is scored by. No torch."""

from __future__ import annotations

import msgspec


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A score in percent: higher is better, 100 is perfect, so that an error is 100 minus the score.

    `name` stands in titles, `short` in tables and sentences, `meaning` in a help text.
    """

    name: str
    short: str
    meaning: str

    @property
    def title(self) -> str:
        """`name` with a capital letter, for headings."""
        return self.name[0].upper() + self.name[1:]


ACCURACY = Metric("top-1 accuracy", "accuracy", "images whose label has the highest logit")
