"""Folders that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dorsal.language.options import option

Model = Annotated[
    Path, option("A folder that `dorsal train` or `dorsal weights` made.", metavar="FOLDER", argument=True)
]
Population = Annotated[Path, option("The folder of a population, finished or not.", metavar="FOLDER", argument=True)]
