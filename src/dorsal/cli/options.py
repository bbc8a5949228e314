"""How a verb's output is asked for as JSON."""

from __future__ import annotations

from typing import Annotated

from dorsal.language.options import option

AsJson = Annotated[bool, option("Print JSON.", name="json")]
ResultsAsJson = Annotated[bool, option("Print results.json instead of tables.", name="json")]
