"""Reading a table of scores, or of predictions on each image, from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from math import isfinite
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.language.files import no_file
from dorsal.stats.interval import Array

ROLES = {
    "arm": ("arm", "model", "network", "backbone", "method"),
    "data set": ("data", "dataset"),
    "seed": ("seed", "run", "trial"),
    "score": ("score", "accuracy", "acc", "top1", "ap", "map", "miou", "f1", "auc", "error", "loss"),
    "image": ("image", "imageid", "img", "file", "filename", "path"),
    "correct": ("correct", "hit"),
    "label": ("label", "target", "truth", "ytrue"),
    "predicted": ("predicted", "prediction", "pred", "ypred"),
}
"""What a column holds, and the names it may have. Case, spaces, dashes and underscores do not count."""
LOWER_IS_BETTER = ("error", "loss")

_TRUTHS = dict.fromkeys(("1", "true", "True", "TRUE", "1.0"), 1.0) | dict.fromkeys(
    ("0", "false", "False", "FALSE", "0.0"), 0.0
)
_ROWS = 50_000
_LARGEST = 1e100
"""Squares of larger scores might overflow."""

Codes = npt.NDArray[np.int64]
Scores = dict[str, list[float | None]]
Images = dict[str, list[Array | None]]


class ScoreTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table as it was read.

    - `columns`: by what it holds, the name of the column that was taken. `rows`: the number of rows with a result.
    - `scores`: by data set and arm, one entry a seed of `seeds`, None without a result. Without a column of data sets
      there is one, "".
    - `images`: None for a table of scores. Otherwise by data set and arm, one entry a seed, 100 for each image that is
      right and 0 for each that is wrong; the images of a data set have the same order everywhere.
    - `lower_is_better`: the scores are errors or losses.
    """

    path: str
    columns: dict[str, str]
    rows: int
    arms: tuple[str, ...]
    seeds: tuple[str, ...]
    scores: dict[str, Scores]
    images: dict[str, Images] | None
    lower_is_better: bool


class _Names(dict[str, int]):
    """Numbers for texts, in the order in which they come."""

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self)
        return number


class _Rows(msgspec.Struct, kw_only=True):
    """The rows as numbers: for each column that is not a figure the number of its text, and its line in the file."""

    names: dict[str, _Names]
    codes: dict[str, Codes]
    figures: Array
    lines: Codes

    def text(self, role: str, row: int) -> str:
        return list(self.names[role])[self.codes[role][row]] if role in self.codes else ""


def read_table(path: Path) -> ScoreTable:
    """Read a CSV file of scores (arm, data set, seed, score), or of predictions (arm, seed, image, correct).

    `ROLES` has the names that columns may have; other columns are left alone. In place of `correct` there may be a
    label and what was predicted. The data set may be left out, and the seed of predictions. Cells are separated as in
    the first line: by commas, semicolons or tabs. A score that is empty is a run without a result. The file is read in
    parts, so a million rows take seconds.

    Raises ValueError naming line and column for what cannot be read, for a run or an image that stands twice, for
    predictions on different images, and for fewer than two arms.
    """
    shown = str(path)
    if not path.is_file():
        raise ValueError(f"table {shown!r} {no_file(path)}; give a CSV file")
    _refuse_predictions(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            if not head.strip():
                raise ValueError(f"{shown}, line 1: there is no header; name the columns, for example arm,seed,score")
            delimiter = max(",;\t", key=head.count)
            header = [cell.strip() for cell in next(csv.reader([head], delimiter=delimiter))]
            columns = _columns(shown, header)
            rows = _read_rows(shown, csv.reader(file, delimiter=delimiter), header, columns)
    except UnicodeDecodeError:
        raise ValueError(f"{shown}, line {_line_not_utf8(path)}: not UTF-8 text; save the table as UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{shown}: not a table: {error}") from None
    if not rows.lines.size:
        raise ValueError(f"{shown}, line 2: there are no rows below the header")
    arms, seeds = list(rows.names["arm"]), list(rows.names.get("seed", [""]))
    if len(arms) < 2:
        raise ValueError(f"{shown}: column {columns['arm']!r} has one arm, {arms[0]!r}; a comparison needs at least 2")
    if "image" in columns:
        scores, images = _predictions(shown, rows)
    else:
        scores, images = _scores(shown, rows), None
    return ScoreTable(
        path=shown,
        columns=columns,
        rows=int((~np.isnan(rows.figures)).sum()),
        arms=tuple(arms),
        seeds=tuple(seeds),
        scores=scores,
        images=images,
        lower_is_better=_plain(columns.get("score", "")) in LOWER_IS_BETTER,
    )


def _refuse_predictions(path: Path) -> None:
    """Raises ValueError for a file in which programs keep what was found in images."""
    with path.open("rb") as file:
        start = file.read(6).lstrip()
    what = "arrays" if start.startswith((b"PK", b"\x93NUMPY")) else "JSON" if start.startswith((b"[", b"{")) else ""
    if what:
        raise ValueError(
            f"{path}: it holds {what}, not a table; give a CSV file with the score of each run, as in "
            "arm,seed,score, or compare models with their data at hand (`dorsal evaluate`)"
        )


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter not in " -_")


def _columns(path: str, header: Sequence[str]) -> dict[str, str]:
    """The name of the column for each role that has one. ValueError where one is missing, or two are the same."""
    columns: dict[str, str] = {}
    for name in header:
        role = next((role for role, names in ROLES.items() if _plain(name) in names), None)
        if role in columns:
            raise ValueError(
                f"{path}, line 1: {columns[role]!r} and {name!r} are both columns of the {role}; rename one"
            )
        if role is not None:
            columns[role] = name
    scores = "score" in columns and not {"correct", "predicted"} & columns.keys()
    needed: tuple[str, ...] = ("arm", "seed", "score")
    if not scores and {"image", "correct", "label", "predicted"} & columns.keys():
        pair = {"label", "predicted"} & columns.keys() and "correct" not in columns
        needed = ("arm", "image", "label", "predicted") if pair else ("arm", "image", "correct")
    if scores and "image" in columns and "seed" not in columns:
        raise ValueError(
            f"{path}, line 1: rows with a {columns['score']} and an {columns['image']} are of objects found in images, "
            "which are neither right nor wrong by themselves; give the score of each run, as in arm,seed,score"
        )
    for role in needed:
        if role not in columns:
            raise ValueError(
                f"{path}, line 1: no column of the {role} among {', '.join(map(repr, header))}; "
                f"it may be called {', '.join(ROLES[role])}"
            )
    kept = {*needed, "seed", "data set"}
    return {role: name for role, name in columns.items() if role in kept}


def _read_rows(path: str, reader: Iterator[list[str]], header: Sequence[str], columns: Mapping[str, str]) -> _Rows:
    """All rows below the header."""
    texts = [role for role in columns if role not in ("score", "correct", "label", "predicted")]
    names = {role: _Names() for role in texts}
    words = _Names()  # labels and predictions
    parts: dict[str, list[Codes]] = {role: [] for role in texts}
    figures, all_lines, truths = [], [], list[Codes]()
    places = {role: header.index(name) for role, name in columns.items()}
    for rows, lines in _parts(path, reader, len(header)):
        cells = [list(map(str.strip, column)) for column in zip(*rows, strict=True)]
        for role in texts:
            column = cells[places[role]]
            if "" in column:
                raise _problem(path, lines[column.index("")], columns[role], "the cell is empty")
            parts[role].append(np.fromiter(map(names[role].__getitem__, column), np.int64, len(column)))
        if "score" in columns:
            figures.append(_numbers(path, columns["score"], cells[places["score"]], lines))
        elif "correct" in columns:
            figures.append(_truths(path, columns["correct"], cells[places["correct"]], lines))
        else:
            pair = [cells[places[role]] for role in ("label", "predicted")]
            for role, column in zip(("label", "predicted"), pair, strict=True):
                if "" in column:
                    raise _problem(path, lines[column.index("")], columns[role], "the cell is empty")
            first, second = (np.fromiter(map(words.__getitem__, column), np.int64, len(column)) for column in pair)
            figures.append((first == second).astype(np.float64))
            truths.append(first)
        all_lines.append(np.array(lines, dtype=np.int64))
    codes = {role: np.concatenate([np.zeros(0, np.int64), *found]) for role, found in parts.items()}
    whole_lines = np.concatenate([np.zeros(0, np.int64), *all_lines])
    if truths:
        _check_truths(path, columns["label"], codes, np.concatenate(truths), list(words), whole_lines)
    return _Rows(names=names, codes=codes, figures=np.concatenate([np.zeros(0), *figures]), lines=whole_lines)


def _check_truths(
    path: str,
    name: str,
    codes: Mapping[str, Codes],
    truths: Codes,
    words: Sequence[str],
    lines: Codes,
) -> None:
    """Raises ValueError for an image with two labels: the arms were not scored on the same images."""
    images = codes["image"] + codes.get("data set", np.int64(0)) * (codes["image"].max(initial=0) + 1)
    _, first, place = np.unique(images, return_index=True, return_inverse=True)
    if len(wrong := np.flatnonzero(truths != truths[first][place])):
        row, other = wrong[0], first[place[wrong[0]]]
        said, before = words[truths[row]], words[truths[other]]
        raise _problem(path, lines[row], name, f"{said!r}, but line {lines[other]} says {before!r} of the same image")


def _parts(path: str, reader: Iterator[list[str]], width: int) -> Iterator[tuple[list[list[str]], Sequence[int]]]:
    """The rows in parts, with the last line of each. Empty lines are left out."""
    line = 1
    while rows := list(islice(reader, _ROWS)):
        lines: Sequence[int] = range(line + 1, line + 1 + len(rows))
        if reader.line_num + 1 > lines[-1]:  # type: ignore[attr-defined]  # there are cells of several lines
            heights = [1 + sum(cell.count("\n") for cell in row) for row in rows]
            lines = [line + above for above in accumulate(heights)]
        line = lines[-1]
        if set(map(len, rows)) != {width}:
            for row, place in zip(rows, lines, strict=True):
                if row and len(row) != width:
                    raise ValueError(f"{path}, line {place}: {len(row)} cells, but the header has {width}")
            lines = [place for row, place in zip(rows, lines, strict=True) if row]
            rows = [row for row in rows if row]
        if rows:
            yield rows, lines


def _numbers(path: str, name: str, cells: Sequence[str], lines: Sequence[int]) -> Array:
    """Scores, NaN where a cell is empty."""
    values = np.full(len(cells), np.nan)
    for place, cell in enumerate(cells):
        if not cell:
            continue
        try:
            values[place] = float(cell)
        except ValueError:
            problem = f"{cell!r} is not a number"
            if cell.endswith("%"):
                raise _problem(path, lines[place], name, f"{problem}; write {cell.rstrip('% ')!r}") from None
            if "," in cell:
                raise _problem(path, lines[place], name, f"{problem}; write decimals with a point") from None
            raise _problem(path, lines[place], name, f"{problem}; leave it empty for a run without a result") from None
        if not isfinite(values[place]):
            raise _problem(
                path, lines[place], name, f"{cell!r} is not finite; leave it empty for a run without a result"
            )
        if abs(values[place]) > _LARGEST:
            raise _problem(path, lines[place], name, f"{cell!r} is above {_LARGEST:g}; give scores in another unit")
    return values


def _truths(path: str, name: str, cells: Sequence[str], lines: Sequence[int]) -> Array:
    try:
        return np.fromiter(map(_TRUTHS.__getitem__, cells), np.float64, len(cells))
    except KeyError:
        place = next(place for place, cell in enumerate(cells) if cell not in _TRUTHS)
        raise _problem(path, lines[place], name, f"{cells[place]!r} is neither 1 or true nor 0 or false") from None


def _problem(path: str, line: int, column: str, why: str) -> ValueError:
    return ValueError(f"{path}, line {line}, column {column!r}: {why}")


def _run_name(rows: _Rows, row: int) -> str:
    seed, data = rows.text("seed", row), rows.text("data set", row)
    return f"{rows.text('arm', row)!r}" + f", seed {seed}" * bool(seed) + f", on {data!r}" * bool(data)


def _once(path: str, rows: _Rows, keys: Codes, what: str) -> None:
    """Raises ValueError for the first row whose key stands above it already."""
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(np.diff(keys[order]) == 0) + 1
    if again.size:
        row = int(order[again].min())
        before = int(np.flatnonzero(keys == keys[row])[0])
        raise ValueError(
            f"{path}, line {rows.lines[row]}: {what} of {_run_name(rows, row)} stands twice; "
            f"line {rows.lines[before]} has it already"
        )


def _runs(rows: _Rows) -> tuple[Codes, int, list[str]]:
    """The number of each row's run, [data set, arm, seed] in one; the number of seeds; the data sets."""
    zeros = np.zeros(rows.lines.size, np.int64)
    seeds = len(rows.names.get("seed", [""]))
    data = rows.codes.get("data set", zeros) * len(rows.names["arm"]) + rows.codes["arm"]
    return data * seeds + rows.codes.get("seed", zeros), seeds, list(rows.names.get("data set", [""]))


def _scores(path: str, rows: _Rows) -> dict[str, Scores]:
    runs, seeds, data_sets = _runs(rows)
    _once(path, rows, runs, "the score")
    table = np.full(len(data_sets) * len(rows.names["arm"]) * seeds, np.nan)
    table[runs] = rows.figures
    grid = table.reshape(len(data_sets), -1, seeds).tolist()
    return {
        data: {arm: [_known(value) for value in values] for arm, values in zip(rows.names["arm"], arms, strict=True)}
        for data, arms in zip(data_sets, grid, strict=True)
        if not all(value != value for values in arms for value in values)  # noqa: PLR0124  # NaN
    }


def _known(value: float) -> float | None:
    return value if isfinite(value) else None


def _predictions(path: str, rows: _Rows) -> tuple[dict[str, Scores], dict[str, Images]]:
    runs, seeds, data_sets = _runs(rows)
    keys = runs * len(rows.names["image"]) + rows.codes["image"]
    _once(path, rows, keys, "an image")
    order = np.argsort(keys)
    borders = np.flatnonzero(np.diff(runs[order])) + 1
    scores: dict[str, Scores] = {data: {arm: [None] * seeds for arm in rows.names["arm"]} for data in data_sets}
    images: dict[str, Images] = {data: {arm: [None] * seeds for arm in rows.names["arm"]} for data in data_sets}
    arms = list(rows.names["arm"])
    first: dict[str, Codes] = {}
    for members in np.split(order, borders):
        place, seed = divmod(int(runs[members[0]]), seeds)
        data, arm = data_sets[place // len(arms)], arms[place % len(arms)]
        _check_images(path, rows, first.setdefault(data, members), members)
        values = 100 * rows.figures[members]
        images[data][arm][seed] = values
        scores[data][arm][seed] = float(values.mean())
    return scores, images


def _check_images(path: str, rows: _Rows, first: Codes, members: Codes) -> None:
    """Raises ValueError unless the rows of a run are of the same images as those of the first run."""
    ours, theirs = rows.codes["image"][members], rows.codes["image"][first]
    if np.array_equal(ours, theirs):
        return
    for one, other, one_rows, other_rows in ((ours, theirs, members, first), (theirs, ours, first, members)):
        odd = np.flatnonzero(~np.isin(one, other))
        if odd.size:
            row = int(one_rows[odd].min())
            raise ValueError(
                f"{path}, line {rows.lines[row]}: image {rows.text('image', row)!r} is one of "
                f"{_run_name(rows, row)}, but not of {_run_name(rows, int(other_rows[0]))}; all runs must be scored on "
                "the same images"
            )


def _line_not_utf8(path: Path) -> int:
    with path.open("rb") as file:
        lines: Iterable[bytes] = file
        for number, line in enumerate(lines, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1
