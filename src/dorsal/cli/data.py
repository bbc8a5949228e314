"""`dorsal data`: data sets before anything is trained on them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from dorsal.cli.options import AsJson
from dorsal.language.options import option

if TYPE_CHECKING:
    from dorsal.data.verdict import Verdict


def check(
    data: Annotated[
        str,
        option(
            "The data as --data of other verbs takes them: scenes, photos, coco:pets(size=320).",
            metavar="DATA",
            argument=True,
            path=True,
        ),
    ],
    task: Annotated[
        str, option("What is to be learned: classify, semantic, detect, instance, or one with fields.", metavar="TASK")
    ] = "classify",
    max_images: Annotated[
        int,
        option("Look at so many images of each split only, evenly spread; 0 means all. For annotated data.", least=0),
    ] = 0,
    strict: Annotated[bool, option("Notes count as problems.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a data set.

    Every image is decoded and every annotation judged, as before any training; nothing is trained. Prints each problem
    with its file and the id of its kind, then notes on what is no problem but good to know, then one line in sum. What
    was found out is kept, so the next check, and the training, begin at once.

    The exit code is 0 where the data can be trained on, 1 where there are problems (with --strict also notes), and 2
    where there is nothing to check.

    Examples:
        dorsal data check photos
        dorsal data check pets --task detect --strict
        dorsal data check "coco:pets(train=a.json, val=b.json)" --task instance --json
        dorsal data check street --task semantic --max-images 50
    """
    from msgspec.structs import replace

    from dorsal.data import spec as specs
    from dorsal.spec.task import needs, parse_task

    asked, wanted = specs.parse_data(data), parse_task(task)
    if max_images:
        if not isinstance(asked, specs.Annotated):
            raise ValueError(
                f"--max-images {max_images} is for annotated folders, which data={data!r} is not; leave it out"
            )
        asked = replace(asked, max_images=max_images)
    from dorsal.data.verdict import check_data  # imports torch

    found = check_data(asked, needs(wanted))
    failed = bool(found.problems) or (strict and bool(found.notes))
    if as_json:
        _print_json(found, specs.format_data(asked), task, failed)
    else:
        _print(found, specs.format_data(asked), task)
    if failed:
        sys.exit(1)


def _print_json(found: Verdict, data: str, task: str, failed: bool) -> None:
    import msgspec

    whole = {"data": data, "task": task, "sound": not failed, **msgspec.to_builtins(found)}
    print(msgspec.json.encode(whole).decode())


def _print(found: Verdict, data: str, task: str) -> None:
    for problem in found.problems:
        print(problem)
    for note in found.notes:
        print(f"note: {note}")
    problems, notes = _count(len(found.problems), "problem"), _count(len(found.notes), "note")
    print(f"{found.summary or data}: {problems} and {notes} for task {task}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' * (number != 1)}"
