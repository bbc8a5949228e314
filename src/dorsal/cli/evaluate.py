"""`dorsal evaluate`: a trained model's score on a data set's validation split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder that `dorsal train` made.")],
    data: Annotated[str, typer.Option(help="scenes, scenes(size=64), or a folder of class folders.")] = "scenes",
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 128,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a trained model on the validation images: accuracy, top-5, loss, and accuracy by class.

    Images are prepared as the model's card says. The data must have the model's classes.

    Example: `dorsal evaluate runs/train --data photos`
    """
    import json

    import msgspec

    from dorsal.data.dataset import Normalisation, open_data
    from dorsal.data.spec import parse_data
    from dorsal.study.run import check_device
    from dorsal.train.evaluate import evaluate as score
    from dorsal.weights.saved import load_model

    spec = parse_data(data)
    check_device(device)
    net, card = load_model(model)
    opened = open_data(spec)
    if opened.classes != card.classes:
        missing = sorted(set(card.classes) ^ set(opened.classes))
        raise ValueError(f"the data's classes are not the model's; not in both: {', '.join(missing[:10])}")
    normalisation = Normalisation(mean=card.mean, std=card.std, source="the model's card")
    prepared = msgspec.structs.replace(opened, size=card.image_size, normalisation=normalisation)
    found = score(net, opened.val, prepared, device, batch)
    if as_json:
        print(json.dumps({"network": card.text, **msgspec.to_builtins(found), "classes": card.classes}))
        return
    print(f"accuracy {found.accuracy:.2f} %, top-5 {found.top5:.2f} %, loss {found.loss:.4f} on {found.images} images")
    for name, value in zip(card.classes, found.per_class, strict=True):
        print(f"  {name:20} {'no images' if value is None else f'{value:6.2f} %'}")
