"""`dorsal weights`: published checkpoints, and files of other packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dorsal.cli.folders import Model
from dorsal.cli.options import AsJson
from dorsal.language.options import option

if TYPE_CHECKING:
    from collections.abc import Callable

    from dorsal.spec.preprocessing import Preprocessing
    from dorsal.weights.published import PublishedWeights

_ID = "The id of published weights, as `dorsal weights list` prints it."
_FROM = "Look for the file in this folder first; also DORSAL_WEIGHTS."
_FILE = "A checkpoint file, or with --to-format a model's folder."
_NETWORK = "The network in the file; not needed for a published file under its own name."
_STATE = "Which of several networks: the keys that lead to it in the file, such as ema or model.teacher."
_PREFIX = "Which of several networks: what its names begin with, such as student.encoder."
_PREPARE = (
    "How images are prepared, where not as usual: 'image_size=32, resize=32, interpolation=bicubic, color_order=bgr'."
)


def list_weights(
    patterns: Annotated[
        tuple[str, ...], option("Parts of ids, or patterns with * and ?.", metavar="PATTERN", argument=True)
    ] = (),
    network: Annotated[str, option("Only weights of this network.")] = "",
    license: Annotated[str, option("Part of a license's name, e.g. Apache.")] = "",
    as_json: Annotated[bool, option("Print JSON with all fields.", name="json")] = False,
) -> None:
    """List published weights: accuracy in percent, image size, license, and where they are published.

    Each publisher measured accuracy in its own way; `dorsal evaluate` measures all in one way.

    Examples:
        dorsal weights list 'resnest50*'
        dorsal weights list --network resnet50 --license apache --json
    """
    from fnmatch import fnmatchcase

    from dorsal.weights.published import published

    text = _canonical(network) if network else ""
    wanted = [part.lower() if set(part) & set("*?[") else f"*{part.lower()}*" for part in patterns or ("*",)]
    found = [
        entry
        for entry in published()
        if any(fnmatchcase(entry.id, part) for part in wanted)
        and (not text or entry.network == text)
        and license.lower() in entry.license.lower()
    ]
    if as_json:
        import json

        print(json.dumps([_describe(entry) for entry in found], allow_nan=False))
        return
    if not found:
        asked = f" of --network {network}" * bool(network) + f" under --license {license}" * bool(license)
        raise ValueError(
            f"no published weights match {' '.join(patterns)!r}{asked}; `dorsal weights list` has them all"
        )
    print(f"{'id':48} {'top-1':>6} {'top-5':>6} {'px':>4}  {'license':32} published at")
    for entry in found:
        top1, top5 = (f"{entry.metrics[k]:6.2f}" if k in entry.metrics else "     -" for k in ("top1", "top5"))
        terms = f"{entry.license} (non-commercial)" if entry.non_commercial else entry.license
        print(f"{entry.id:48} {top1} {top5} {entry.preprocessing.image_size:4}  {terms:32} {entry.hub or entry.url}")


def pull(
    name: Annotated[str, option(_ID, metavar="ID", argument=True)],
    to: Annotated[Path | None, option("The model's folder (default: weights/ID).")] = None,
    source: Annotated[Path | None, option(_FROM, name="from")] = None,
    offline: Annotated[bool, option("Use local files only.")] = False,
    as_json: Annotated[bool, option("Print the card as JSON.", name="json")] = False,
) -> None:
    """Download published weights and make a model's folder of them, which `dorsal evaluate` and `predict` take.

    A file is downloaded once. After an interruption the same command goes on. On a machine without internet, put the
    file into a folder and name the folder with --from.

    Examples:
        dorsal weights pull resnest50.official_in1k
        dorsal weights pull resnet50.timm_a1_in1k --to models/a1 --from /mnt/checkpoints
    """
    from dorsal.weights.fetch import fetch
    from dorsal.weights.published import find_published

    entry = find_published(name)
    if source is not None and not source.is_dir():
        raise ValueError(f"--from {str(source)!r} is not a folder")
    file = fetch(entry, source, offline, _progress())
    if entry.non_commercial:
        sys.stderr.write(f"note: the license of these weights, {entry.license}, forbids commercial use\n")
    _convert(file, entry, to or Path("weights") / entry.id, f"dorsal weights pull {name}", as_json)


def convert(
    file: Annotated[Path, option(_FILE, metavar="FILE", argument=True)],
    out: Annotated[Path, option("The model's folder, or with --to-format the file to write.")],
    network: Annotated[str, option(_NETWORK)] = "",
    source_format: Annotated[str, option("Format of the file (default: recognised).", name="format")] = "",
    to_format: Annotated[str, option("Write a file for this package instead, e.g. timm or torchvision.")] = "",
    classes: Annotated[str, option("imagenet, cifar10, numbered, or a file with one class a line.")] = "",
    preprocessing: Annotated[str, option(_PREPARE)] = "",
    license: Annotated[str, option("License of the weights (default: unknown).")] = "",
    partial: Annotated[bool, option("Load what fits and initialise the rest.")] = False,
    detector: Annotated[
        bool,
        option("The file is a Faster, Mask or Cascade R-CNN of torchvision or detectron2; --network is its trunk."),
    ] = False,
    config: Annotated[Path | None, option("With --detector: the config.yaml that detectron2 wrote beside it.")] = None,
    state: Annotated[str | None, option(_STATE)] = None,
    prefix: Annotated[str | None, option(_PREFIX)] = None,
    as_json: Annotated[bool, option("Print the card as JSON.", name="json")] = False,
) -> None:
    """Convert a checkpoint of another package to a model's folder, or (--to-format) back.

    A published file under its own name needs only --out: network, classes, preprocessing and license are known.

    Examples:
        dorsal weights convert resnet20-12fca82f.th --out models/resnet20
        dorsal weights convert best.pth --network "resnet50(classes=5)" --classes names.txt --out models/mine
        dorsal weights convert models/mine --to-format timm --out mine.safetensors
        dorsal weights convert maskrcnn.pth --detector --network resnet50 --classes coco.txt --out models/maskrcnn
    """
    if config is not None and not detector:
        raise ValueError(f"--config {str(config)!r} is of a detector; give --detector too")
    if to_format:
        from dorsal.cli.finish import replacing
        from dorsal.weights.convert import export

        if network or source_format or classes or preprocessing or license or partial or state or prefix or detector:
            raise ValueError("--to-format takes a model's folder and --out only: its card says the rest")
        replaced = replacing(out)
        export(file, to_format, out)
        if as_json:
            import json

            print(json.dumps({"file": str(out), "format": to_format}, allow_nan=False))
        else:
            print(f"{to_format} checkpoint in {out}{replaced}")
        return
    if not file.is_file():
        raise ValueError(f"{str(file)!r} is not a file")
    if detector:
        useless = {"format": source_format, "preprocessing": preprocessing, "partial": partial, "state": state}
        if given := [name for name, value in {**useless, "prefix": prefix}.items() if value]:
            raise ValueError(f"--{given[0]} does nothing beside --detector; leave it out")
        _convert_detector(file, network, classes, config, license, out, as_json)
        return
    entry = _entry(file, network, source_format, classes, preprocessing, license)
    _convert(file, entry, out, f"dorsal weights convert {file.name}", as_json, partial, state, prefix)


def _convert_detector(
    file: Path, network: str, classes: str, config: Path | None, license: str, out: Path, as_json: bool
) -> None:
    """Writes the folder of a detector, and says what differs from the package that it is from."""
    if not network:
        raise ValueError("--detector needs --network, the trunk of the detector, e.g. resnet50")
    _refuse_trained(out)
    from dorsal.cli.finish import replacing
    from dorsal.tasks.detect.checkpoints import read_detector
    from dorsal.tasks.saved import save_detector
    from dorsal.weights.card import MODEL_FILE
    from dorsal.weights.class_names import read_labels
    from dorsal.zoo import network as read_network

    found = read_detector(file, read_network(network), config)
    names = read_labels(classes or "numbered", found.classes)
    for note in found.notes:
        sys.stderr.write(f"note: {note}\n")
    replaced = replacing(out / MODEL_FILE)
    card = save_detector(
        found,
        out,
        names.classes,
        license=license or "unknown",
        source=f"file {file.name}",
        origin=f"dorsal weights convert {file.name} --detector",
    )
    if as_json:
        import msgspec

        print(msgspec.json.encode(card).decode())
    else:
        from dorsal.spec.task import task_text

        print(f"{task_text(card.task)} on {card.text}: {found.classes} classes, in {out}{replaced}")


def _refuse_trained(out: Path) -> None:
    """Raises ValueError for a folder in which a model was trained, and for a file."""
    from dorsal.language.files import check_folder
    from dorsal.weights.card import CHECKPOINT_FILE

    check_folder("out", out)
    if (out / CHECKPOINT_FILE).is_file():
        raise ValueError(f"out={str(out)!r} holds a model that was trained there; name another folder")


def verify(
    folder: Model,
    as_json: AsJson = False,
) -> None:
    """Check a model: its weights against its card, the card against its network, its output against the stored one.

    Exit code 1 if a check fails.

    Examples:
        dorsal weights verify models/resnet20
    """
    from dorsal.tasks.saved import builder_of
    from dorsal.weights.saved import read_card, verify_model

    checks = verify_model(folder, builder_of(read_card(folder)))
    holds = all(check.holds for check in checks)
    if as_json:
        import json

        import msgspec

        whole = {"folder": str(folder), "holds": holds, "checks": msgspec.to_builtins(checks)}
        print(json.dumps(whole, allow_nan=False))
    else:
        for check in checks:
            print(f"{'holds' if check.holds else 'FAILS'}  {check.name:8} {check.found}")
    if not holds:
        sys.exit(1)


def _canonical(text: str) -> str:
    from dorsal.zoo import network, text_of

    return text_of(network(text))


def _describe(entry: PublishedWeights) -> dict[str, object]:
    import msgspec

    more = {"local_name": entry.local_name, "sha256_prefix": entry.sha256_prefix}
    return {**msgspec.to_builtins(entry), **more}


def _progress() -> Callable[[int, int | None], None] | None:
    """A line on stderr that counts the download in a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int | None) -> None:
        of = f" of {total / 1e6:.1f}" if total else ""
        sys.stderr.write(f"\r{done / 1e6:.1f}{of} MB" + "\n" * (done == total))

    return show


def _entry(
    file: Path, network: str, source_format: str, classes: str, preprocessing: str, license: str
) -> PublishedWeights:
    """What is known about a file: from the table if a published file has this name, else from options."""
    import msgspec

    from dorsal.spec.preprocessing import Preprocessing
    from dorsal.weights.fetch import check_file
    from dorsal.weights.published import PublishedWeights, published_as

    known = published_as(file.name)
    if known is not None and (not network or _canonical(network) == known.network):
        check_file(known, file)
        entry = known
    elif network:
        entry = PublishedWeights(
            id=file.name,
            network=_canonical(network),
            format="",
            file=file.name,
            license="unknown",
            classes="numbered",
            preprocessing=Preprocessing(image_size=224, resize=256),
        )
        if not preprocessing:
            sys.stderr.write(f"note: the card will say {entry.preprocessing.describe()}; --preprocessing changes it\n")
    else:
        raise ValueError(f"{file.name} is not the name of a published file: name its network with --network")
    given = {"format": source_format, "classes": classes, "license": license}
    entry = msgspec.structs.replace(entry, **{field: value for field, value in given.items() if value})
    prepared = _prepared(preprocessing, entry.preprocessing)
    metrics = entry.metrics if prepared == entry.preprocessing else {}  # they hold for the published one only
    return msgspec.structs.replace(entry, preprocessing=prepared, metrics=metrics)


def _prepared(text: str, base: Preprocessing) -> Preprocessing:
    import msgspec

    from dorsal.language.reader import Call, Reader, suggest
    from dorsal.spec.preprocessing import Preprocessing

    read = Reader(f"preprocessing({text})").whole().arguments
    given = {key: value.name if isinstance(value, Call) else value for key, value in read.items()}
    for key in given:
        if key not in Preprocessing.__struct_fields__:
            raise ValueError(f"--preprocessing has no field {key}{suggest(key, Preprocessing.__struct_fields__)}")
    if "image_size" in given and "resize" not in given and isinstance(given["image_size"], int):
        base = base.at(given["image_size"])
    try:
        return msgspec.convert({**msgspec.to_builtins(base), **given}, Preprocessing)
    except msgspec.ValidationError as error:
        raise ValueError(f"--preprocessing {text!r}: {error}") from None


def _convert(
    file: Path,
    entry: PublishedWeights,
    out: Path,
    origin: str,
    as_json: bool,
    partial: bool = False,
    state: str | None = None,
    prefix: str | None = None,
) -> None:
    import msgspec

    from dorsal.cli.finish import replacing
    from dorsal.weights.card import MODEL_FILE
    from dorsal.weights.convert import convert as run

    _refuse_trained(out)
    replaced = replacing(out / MODEL_FILE)
    card, notes = run(file, entry, out, origin=origin, partial=partial, state=state, prefix=prefix)
    for note in notes:
        sys.stderr.write(f"note: {note}\n")
    if as_json:
        print(msgspec.json.encode({"folder": str(out), "card": card}).decode())
    else:
        scores = ", ".join(f"{name} {value:.2f} %" for name, value in card.metrics.items())
        published = f"; published: {scores}" if scores else ""
        print(f"{card.text} in {out}{replaced} ({card.license}){published}")
        print(f"  images: {card.preprocessing.describe()}")
