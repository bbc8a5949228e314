"""`dorsal space pick`: the winner of a population or a search, handed over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from dorsal.cli.finish import replacing
from dorsal.cli.options import AsJson, StudyStorage
from dorsal.language.options import option
from dorsal.study.question import CostBounds


def pick_networks(
    folder: Annotated[Path, option("The folder of a population or of a search.", metavar="FOLDER", argument=True)],
    bounds: CostBounds,
    space: Annotated[str | None, option("Which space, if the folder has several.")] = None,
    by: Annotated[Literal["error", "pareto"], option("error, or pareto for all that none beats.")] = "error",
    out: Annotated[
        Path | None,
        option("Write the network to this JSON file; of several, to NAME-1.json and so on.", metavar="FILE"),
    ] = None,
    storage: StudyStorage = None,
    as_json: AsJson = False,
) -> None:
    """Print the best network as text that `dorsal train`, `compare` and `show` and `dorsal.create` take.

    What its error is worth goes to stderr. The network has the classes of the data it was trained on; `train` and
    `compare` set those of theirs.

    Examples:
        dorsal train "$(dorsal space pick runs/population)" --data photos
        dorsal space pick runs/search --by pareto
        dorsal space pick runs/both --space regnetx --macs ..200M --out winner.json
    """
    from dorsal.findings.pick import pick_networks as pick_from
    from dorsal.jobs.records import Study
    from dorsal.report.words.search import pick_sentences
    from dorsal.study.choice.records import ChoiceStudy
    from dorsal.study.comparison.records import DataSetStudies
    from dorsal.study.load import load_runs
    from dorsal.study.recheck.saved import load_recheck

    if out is not None and out.suffix != ".json":
        raise ValueError(f"--out {str(out)!r} must end in .json, so that other verbs can read it")
    study = load_runs(folder, storage)
    if isinstance(study, Study | DataSetStudies | ChoiceStudy):
        what = "a choice of weights" if isinstance(study, ChoiceStudy) else "a comparison"
        raise ValueError(
            f"{str(folder)!r} holds {what}, and picking is of a population or a search; see `dorsal space run` "
            "and `dorsal space search`"
        )
    found = pick_from(study, space, by, bounds, retrained=load_recheck(folder, storage))
    for sentence in pick_sentences(found):
        sys.stderr.write(f"{sentence}\n")
    if out is not None:
        from dorsal.jobs.json_file import write_whole
        from dorsal.spec.network import to_json

        several = len(found.networks) > 1
        for place, network in enumerate(found.networks, 1):
            file = out.with_stem(f"{out.stem}-{place}") if several else out
            replaced = replacing(file)
            write_whole(file, f"{to_json(network.network)}\n".encode())
            sys.stderr.write(f"{network.label} in {file}{replaced}\n")
    if as_json:
        import msgspec

        print(msgspec.json.encode({**msgspec.to_builtins(found), "sentences": pick_sentences(found)}).decode())
    else:
        for network in found.networks:
            print(network.text)
