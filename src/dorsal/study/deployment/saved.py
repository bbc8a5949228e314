"""`deployment.json` back from its folder. No torch."""

from __future__ import annotations

from pathlib import Path

from dorsal.jobs.json_file import read_record
from dorsal.language.files import absence
from dorsal.study.deployment.records import DEPLOYMENT_FILE, DEPLOYMENT_SCHEMA, DeploymentStudy


def read_deployment(folder: Path) -> DeploymentStudy:
    """The deployment in this folder. Raises ValueError where there is none, or it cannot be read."""
    found = read_record(folder / DEPLOYMENT_FILE, DeploymentStudy, DEPLOYMENT_SCHEMA, "deployment")
    if found is None:
        raise ValueError(f"{str(folder)!r} holds no deployment: {absence(folder, DEPLOYMENT_FILE)}")
    return found
