"""`dorsal deploy`: the fastest form of a model that is right, on this machine."""

from __future__ import annotations

import sys

from dorsal.cli.options import AsJson
from dorsal.study.deployment.question import Deployment


def deploy(asked: Deployment, as_json: AsJson = False) -> None:
    """Keep the fastest form of a model that is right.

    Makes the model in every form that this machine can run: PyTorch eager, torch.compile, AOTInductor, ONNX Runtime and
    OpenVINO, in float32, bfloat16 and int8, as exact rewrites of the network. Times them side by side, proves them on
    your images, and leaves the fastest right one in a folder with a script that needs no PyTorch. A form in float32 is
    right where it says what the model says; another one where it is shown to lose no more than --max-drop points.
    Interrupted, the same command goes on.

    Examples:
        dorsal deploy runs/train --data photos --out deployed
        dorsal deploy runs/train --data photos --batch 16 --for throughput --max-drop 0.5
        dorsal deploy runs/train --data photos --test
        dorsal deploy deployed --again --out deployed_here
    """
    from dorsal.cli.progress import watching

    with watching(asked.folder, f"deploying {asked.model}") as on_event:
        from dorsal.study.deployment.run import deploy as run  # imports torch

        study = run(asked, on_event=on_event)
    from dorsal.cli.finish import show_deployment

    show_deployment(study, as_json)
    if not as_json and study.kept is not None and not asked.test:
        print(f"deployed model: {asked.folder}; python {asked.folder / 'predict.py'} IMAGE")
    if study.kept is None:
        sys.exit(1)
