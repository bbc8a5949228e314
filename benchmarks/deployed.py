"""Our fastest deployed form against timm's default paths, the best path that an expert knows, and the limit.

    python benchmarks/deployed.py --networks resnet50,resnest50 --batch 1,16 --out deployed.json

For each network, batch and precision, all in one alternating run, each in a process of its own:

- ours: the fastest of Dorsal's forms in ONNX Runtime and OpenVINO, chosen by a short run before;
- default: timm's network through ONNX to ONNX Runtime and to OpenVINO, with the default quantizer of each;
- expert: timm's network through OpenVINO's PyTorch frontend, ResNeSt rewritten by hand, min-max ranges in int8;
- limit: the MACs of the network at the rate of ten stacked 3x3 convolutions in OpenVINO.

Weights and running statistics are random. Ratios above 1 say that ours is faster. What the file of results has is not
measured again.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

import dorsal
from dorsal.deploy.choose import ratio
from dorsal.deploy.executed import executed_by_onnx, executed_by_openvino
from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import FILES, Form, forms_of
from dorsal.deploy.possible import why_not
from dorsal.deploy.quantize import Quantization, quantize
from dorsal.deploy.quiet import quietly
from dorsal.deploy.rewrite import rewrites_of, rewritten
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession, Session
from dorsal.jobs.machine import available_cores, instructions, machine, runtime_versions
from dorsal.jobs.rivals import BUSY, time_forms, write_inputs

NETWORKS = ("resnet50", "resnest50", "res2net50_26w_4s", "regnetx_040", "regnety_040")
TIMM = {"resnest50": "resnest50d"}
PRECISIONS = ("float32", "bfloat16", "int8")
CALIBRATION, SHORT = 16, 4
CHANNELS, SIDE, DEPTH = 256, 28, 10
HINTED = "OpenVINO, float32 hint"
DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}
RUNTIME = {".onnx": "onnxruntime", ".xml": "openvino"}


class OpenFile(msgspec.Struct, frozen=True):
    """Opens a model file in its runtime."""

    path: Path
    precision: Any
    threads: int

    def load(self) -> None:
        why_not(Form(RUNTIME[self.path.suffix], "float32", "none"))  # type: ignore[arg-type]

    def __call__(self, images: np.ndarray) -> Session:
        if self.path.suffix == ".onnx":
            return OnnxSession(self.path, self.threads)
        return OpenVinoSession(self.path, self.threads, self.precision, "latency", images.shape)


def randomised(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def smooth(count: int, size: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    small = random.normal(size=(count, 1, 3, 7, 7)).astype(np.float32)
    step = -(-size // 7)
    return [each.repeat(step, 2).repeat(step, 3)[:, :, :size, :size] for each in small]


def write_ours(model: nn.Module, precision: Any, size: int, folder: Path) -> dict[str, Path]:
    """Dorsal's forms in this precision by name."""
    found = {}
    for form in forms_of(rewrites_of(model)):
        if form.runtime not in FILES or form.runtime not in RUNTIME.values() or form.precision != precision:
            continue
        if why_not(form):
            continue
        graph = folder / f"{form.runtime}-{form.rewrite}" / FILES[form.runtime][0]
        if not graph.exists():
            graph.parent.mkdir(parents=True)
            export = export_openvino if form.runtime == "openvino" else export_onnx
            export(rewritten(model, form.rewrite), (torch.randn(2, 3, size, size),), graph, any_size=True)
        found[form.name] = graph
        if precision == "int8":
            found[form.name] = graph.parent / f"int8{graph.suffix}"
            recipe = Quantization(ranges="minmax", images=CALIBRATION)
            quantize(form.runtime, graph, found[form.name], smooth(CALIBRATION, size), recipe)
    return found


def write_default(name: str, precision: str, size: int, folder: Path) -> dict[str, Path]:
    """timm's network as its users export and quantize it."""
    import nncf
    import openvino
    import timm
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    graph = folder / "timm.onnx"
    if not graph.exists():
        model = randomised(timm.create_model(TIMM.get(name, name)))
        with quietly(), torch.no_grad():
            batch = torch.export.Dim("batch")
            program = torch.onnx.export(
                model, (torch.randn(2, 3, size, size),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
            )
            program.save(graph)
    read = openvino.Core().read_model(graph)
    if precision != "int8":
        openvino.save_model(read, folder / "default.xml", compress_to_fp16=False)
        found = {"default OpenVINO": folder / "default.xml"}
        return found if precision == "bfloat16" else {**found, "default ONNX Runtime": graph}
    images, (name_in,) = smooth(CALIBRATION, size), [each.any_name for each in read.inputs]
    with quietly():
        made = nncf.quantize(read, nncf.Dataset(images), subset_size=CALIBRATION)
        openvino.save_model(made, folder / "default8.xml", compress_to_fp16=False)
        quant_pre_process(str(graph), str(folder / "prepared.onnx"), skip_symbolic_shape=True)
        quantize_static(folder / "prepared.onnx", folder / "default8.onnx", Reader(images, name_in))
    return {"default OpenVINO": folder / "default8.xml", "default ONNX Runtime": folder / "default8.onnx"}


class Reader:
    def __init__(self, images: list[np.ndarray], name: str) -> None:
        self._rest, self._name = iter(images), name

    def get_next(self) -> dict[str, np.ndarray] | None:
        found = next(self._rest, None)
        return None if found is None else {self._name: found}


class ByHand(nn.Module):
    """timm's split attention of radix 2 on maps of four dimensions: two pools, and a sigmoid of the difference."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv = nn.utils.fusion.fuse_conv_bn_eval(block.conv, block.bn0)
        self.fc1 = nn.utils.fusion.fuse_conv_bn_eval(block.fc1, block.bn1)
        half = block.fc2.out_channels // 2
        self.fc2 = nn.Conv2d(block.fc2.in_channels, half, 1)
        with torch.no_grad():
            self.fc2.weight.copy_(block.fc2.weight[:half] - block.fc2.weight[half:])
            self.fc2.bias.copy_(block.fc2.bias[:half] - block.fc2.bias[half:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.conv(x).relu().chunk(2, 1)
        pooled = first.mean((2, 3), keepdim=True) + second.mean((2, 3), keepdim=True)
        share = self.fc2(self.fc1(pooled).relu()).sigmoid()
        return first * share + second * (1 - share)


def write_expert(name: str, precision: str, size: int, folder: Path) -> dict[str, Path]:
    """The best path of those that were measured by hand."""
    import nncf
    import openvino
    import timm
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    from timm.layers import SplitAttn

    graph, example = folder / "expert.xml", torch.randn(1, 3, size, size)
    if not graph.exists():
        model = randomised(timm.create_model(TIMM.get(name, name)))
        with torch.no_grad():
            exact = model(example)
            for parent in list(model.modules()):
                for child, module in parent.named_children():
                    if isinstance(module, SplitAttn):
                        setattr(parent, child, ByHand(module))
            assert torch.allclose(model(example), exact, rtol=1e-3, atol=1e-3 * float(exact.abs().max()))
            with quietly():
                shape = openvino.PartialShape([-1, 3, size, size])
                made = openvino.convert_model(model, example_input=example, input=[shape])
        openvino.save_model(made, graph, compress_to_fp16=False)
    if precision != "int8":
        return {"expert": graph}
    with quietly():
        made = nncf.quantize(
            openvino.Core().read_model(graph),
            nncf.Dataset(smooth(CALIBRATION, size)),
            subset_size=CALIBRATION,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )
    openvino.save_model(made, folder / "expert8.xml", compress_to_fp16=False)
    return {"expert": folder / "expert8.xml"}


def write_stack(precision: str, folder: Path) -> tuple[Path, int]:
    """3x3 convolutions one after another, about as much as a network, and their MACs."""
    layers = [nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU()) for _ in range(DEPTH)]
    stack = nn.Sequential(*layers)
    graph = folder / "stack.xml"
    if not graph.exists():
        export_openvino(stack.eval(), (torch.randn(1, CHANNELS, SIDE, SIDE),), graph, any_size=True)
    if precision == "int8":
        random = np.random.default_rng(0)
        images = [random.normal(size=(1, CHANNELS, SIDE, SIDE)).astype(np.float32) for _ in range(CALIBRATION)]
        quantize("openvino", graph, folder / "stack8.xml", images, Quantization(ranges="minmax", images=CALIBRATION))
        graph = folder / "stack8.xml"
    return graph, DEPTH * CHANNELS**2 * 9 * SIDE**2


class OpenStack(OpenFile, frozen=True):
    """The stack, whatever images the others are called with."""

    def __call__(self, images: np.ndarray) -> Session:
        given = np.random.default_rng(0).normal(size=(len(images), CHANNELS, SIDE, SIDE)).astype(np.float32)
        return Fixed(OpenVinoSession(self.path, self.threads, self.precision, "latency", given.shape), given)


class Fixed(Session):
    def __init__(self, session: Session, given: np.ndarray) -> None:
        self._session, self._given = session, given

    def __call__(self, *_: np.ndarray) -> Any:
        return self._session(self._given)


def cell(name: str, model: nn.Module, batch: int, precision: Any, asked: Any, folder: Path) -> dict[str, Any]:
    inputs, threads = folder / f"inputs{batch}.npz", asked.threads
    images = np.concatenate([*smooth(batch, asked.size)])
    write_inputs(inputs, [images])
    ours = write_ours(model, precision, asked.size, folder)
    short = time_forms([OpenFile(path, precision, threads) for path in ours.values()], inputs, threads, SHORT)
    medians = [np.median(np.concatenate(each.rounds)) if each.rounds else np.inf for each in short.timings]
    chosen = list(ours)[int(np.argmin(medians))]
    arms = {"ours": ours[chosen], **write_default(name, precision, asked.size, folder)}
    arms |= write_expert(name, precision, asked.size, folder)
    stack, macs_of_stack = write_stack(precision, folder)
    openers = [OpenFile(path, precision, threads) for path in arms.values()]
    if precision == "int8":  # what is not quantized in float32, as on a processor without bfloat16
        arms[HINTED] = arms["default OpenVINO"]
        openers.append(OpenFile(arms[HINTED], "float32", threads))
    contest = time_forms([*openers, OpenStack(stack, precision, threads)], inputs, threads, asked.rounds)
    if errors := [each.error for each in contest.timings if each.error]:
        return {"error": errors[0]}
    times = {
        arm: np.array([np.median(each) for each in found.rounds])
        for arm, found in zip([*arms, "stack"], contest.timings, strict=True)
    }
    limit = times["stack"] * dorsal.cost(dorsal.network(name), asked.size).macs / macs_of_stack
    default = min((arm for arm in times if arm.startswith("default")), key=lambda arm: np.median(times[arm]))
    return {
        "chosen": chosen,
        "done": share(ours[chosen], precision, images, threads),
        "ms": {arm: float(np.median(each)) for arm, each in times.items()} | {"limit": float(np.median(limit))},
        "ours tried": dict(zip(ours, map(float, medians), strict=True)),
        "default": default,
        "to default": ends(times[default], times["ours"]),
        "to expert": ends(times["expert"], times["ours"]),
        "to default with a float32 hint": ends(times[HINTED], times["ours"]) if HINTED in times else None,
        "share of limit": ends(limit, times["ours"]),
        "others": contest.others,
    }


def share(path: Path, precision: Any, images: np.ndarray, threads: int) -> float:
    if path.suffix == ".onnx":
        done = executed_by_onnx(OnnxSession(path, threads, path.parent / "profile"), images)
    else:
        done = executed_by_openvino(OpenVinoSession(path, threads, precision, "latency", images.shape))
    return done.share(precision)


def ends(first: np.ndarray, second: np.ndarray) -> list[float]:
    found = ratio(first, second)
    assert found.low is not None
    assert found.high is not None
    return [found.value, found.low, found.high]


def required(name: str, precision: str) -> dict[str, float]:
    """The least that the lower ends of the ratios have to be."""
    least = {"to default": 0.97, "to expert": 0.97}
    if name.startswith("resnest") and precision == "bfloat16":
        least["to expert"] = 1.05
    if precision == "int8" and DOT_PRODUCTS & set(instructions()):
        least["to default"] = {"resne": 2.0, "regnety": 2.0, "regnetx": 1.7}.get(
            "resne" if name.startswith("resnest") else name.partition("_")[0], 0.97
        )
    return least


def show(name: str, batch: int, precision: str, found: dict[str, Any]) -> None:
    print(f"{name}, batch {batch}, {precision}: ", end="")
    if "ms" not in found:
        print(found.get("unavailable") or found["error"])
        return
    print(f"{found['chosen']}, {100 * found['done']:.1f} % of MACs in {precision}")
    print("   ms: " + ", ".join(f"{arm} {each:.2f}" for arm, each in found["ms"].items()))
    for to, least in required(name, precision).items():
        value, low, high = found[to]
        verdict = "met" if low >= least else "NOT MET"
        print(f"   {to}: {value:.3f} ({low:.3f} to {high:.3f}), at least {least} required: {verdict}")
    if hinted := found.get("to default with a float32 hint"):
        print("   to default with a float32 hint: {:.3f} ({:.3f} to {:.3f})".format(*hinted))
    value, low, high = found["share of limit"]
    trusted = "" if found["others"] <= BUSY else f"; other work took {100 * found['others']:.0f} %: not to be trusted"
    print(f"   share of the limit: {value:.2f} ({low:.2f} to {high:.2f}){trusted}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--batch", default="1,16")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--out", type=Path, help="file of the results; what it has is not measured again")
    asked = parser.parse_args()
    kept = json.loads(asked.out.read_text()) if asked.out and asked.out.exists() else {}
    here = machine("cpu", 1, asked.threads)
    print(f"{here.processor}, {', '.join(instructions())}; {asked.threads} threads; {runtime_versions()}")
    for name in asked.networks.split(","):
        folder = Path(tempfile.mkdtemp())
        model = randomised(dorsal.build(dorsal.network(name)))
        for precision in asked.precisions.split(","):
            for batch in map(int, asked.batch.split(",")):
                key = f"{name} {batch} {precision}"
                if key not in kept:
                    reason = why_not(Form("openvino", precision, "folded"))
                    found = cell(name, model, batch, precision, asked, folder) if not reason else {}
                    kept[key] = found or {"unavailable": f"not available: {reason}"}
                    if asked.out:
                        asked.out.write_text(json.dumps(kept, indent=1))
                show(name, batch, precision, kept[key])
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
