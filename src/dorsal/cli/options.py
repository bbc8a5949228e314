"""Options of several verbs: their folders, storage, and output as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dorsal.language.options import option

AsJson = Annotated[bool, option("Print JSON.", name="json")]
ResultsAsJson = Annotated[bool, option("Print results.json instead of tables.", name="json")]

Model = Annotated[
    Path, option("A folder that `dorsal train` or `dorsal weights` made.", metavar="FOLDER", argument=True)
]
Population = Annotated[Path, option("The folder of a population, finished or not.", metavar="FOLDER", argument=True)]
StudyStorage = Annotated[
    str | None, option("The study's storage URL; needed only where it has a password.", metavar="URL")
]
