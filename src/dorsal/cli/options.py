"""Options of several verbs: storage, and output as JSON. Those of folders are apart, as `dorsal list` starts without
paths."""

from __future__ import annotations

from typing import Annotated

from dorsal.language.options import option

AsJson = Annotated[bool, option("Print JSON.", name="json")]
ResultsAsJson = Annotated[bool, option("Print results.json instead of tables.", name="json")]

StudyStorage = Annotated[
    str | None, option("The study's storage URL; needed only where it has a password.", metavar="URL")
]
