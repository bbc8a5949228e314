"""Our fastest deployed form against timm's default paths, the best path that an expert knows, and the limit.

    python benchmarks/deployed.py --networks resnet50,resnest50 --batch 1,16 --out deployed.json [--profile]

For each network, batch and precision, all in one alternating run, each in a process of its own:

- ours: the fastest of Dorsal's forms in ONNX Runtime and OpenVINO, chosen by a short run before;
- default: timm's network through ONNX to ONNX Runtime and to OpenVINO, with the default quantizer of each;
- expert: timm's network through OpenVINO's PyTorch frontend, ResNeSt rewritten by hand, min-max ranges in int8;
- limit: the MACs of the network at the rate of ten stacked 3x3 convolutions in OpenVINO.

Weights, norms and running statistics are random. Ratios above 1 say that ours is faster. What the file of results has
is not measured again. `--profile` prints the layers of our form by kind, and how each kind compares with the limit.
"""

import argparse
import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

import dorsal
from dorsal.deploy.choose import SITTING, median_of, ratio
from dorsal.deploy.executed import executed_by_onnx, executed_by_openvino
from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import FILES, Form, forms_of
from dorsal.deploy.possible import why_not
from dorsal.deploy.quantize import Quantization, quantize
from dorsal.deploy.quiet import quietly
from dorsal.deploy.rewrite import rewrites_of, rewritten
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession, Session
from dorsal.jobs.machine import available_cores, instructions, machine, runtime_versions, versions
from dorsal.jobs.rivals import BUSY, other_work, time_forms, write_inputs

NETWORKS = ("resnet50", "resnest50", "res2net50_26w_4s", "regnetx_040", "regnety_040")
TIMM = {"resnest50": "resnest50d"}
PRECISIONS = ("float32", "bfloat16", "int8")
CALIBRATION, SHORT, PROFILED = 16, 4, 20
FEWEST = 2 * SITTING
"""With one sitting there is no interval."""
CHANNELS, SIDE, DEPTH = 256, 28, 10
HINTED = "OpenVINO, float32 hint"
DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}
RUNTIME = {".onnx": "onnxruntime", ".xml": "openvino"}

Layer = tuple[str, str, list[list[int]], float]
"""Operator, precision, shapes of input, weight and output as far as it has them, and milliseconds."""


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
    """No norm does nothing: timm's last one of each block begins with weights of 0, which all fold into zeros."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
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
            if not found[form.name].exists():
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
    found = {"default OpenVINO": folder / "default8.xml", "default ONNX Runtime": folder / "default8.onnx"}
    if all(each.exists() for each in found.values()):
        return found
    with quietly():
        made = nncf.quantize(read, nncf.Dataset(images), subset_size=CALIBRATION)
        openvino.save_model(made, folder / "default8.xml", compress_to_fp16=False)
        quant_pre_process(str(graph), str(folder / "prepared.onnx"), skip_symbolic_shape=True)
        quantize_static(folder / "prepared.onnx", folder / "default8.onnx", Reader(images, name_in))
    return found


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
    quantized = folder / "expert8.xml"
    if quantized.exists():
        return {"expert": quantized}
    with quietly():
        made = nncf.quantize(
            openvino.Core().read_model(graph),
            nncf.Dataset(smooth(CALIBRATION, size)),
            subset_size=CALIBRATION,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )
    openvino.save_model(made, quantized, compress_to_fp16=False)
    return {"expert": quantized}


def write_stack(precision: str, folder: Path) -> tuple[Path, int]:
    """3x3 convolutions one after another, about as much as a network, and their MACs."""
    layers = [nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU()) for _ in range(DEPTH)]
    stack = nn.Sequential(*layers)
    graph = folder / "stack.xml"
    if not graph.exists():
        export_openvino(stack.eval(), (torch.randn(1, CHANNELS, SIDE, SIDE),), graph, any_size=True)
    if precision == "int8":
        exact, graph = graph, folder / "stack8.xml"
        if not graph.exists():
            random = np.random.default_rng(0)
            images = [random.normal(size=(1, CHANNELS, SIDE, SIDE)).astype(np.float32) for _ in range(CALIBRATION)]
            quantize("openvino", exact, graph, images, Quantization(ranges="minmax", images=CALIBRATION))
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
    openers.append(OpenStack(stack, precision, threads))
    contest = time_forms(openers, inputs, threads, asked.rounds)
    found = dict(zip([*arms, "stack"], contest.timings, strict=True))
    errors = {arm: each.error for arm, each in found.items() if each.error}
    times = {arm: np.array([np.median(calls) for calls in each.rounds]) for arm, each in found.items() if each.rounds}
    defaults = sorted((arm for arm in times if arm.startswith("default")), key=lambda arm: median_of(times[arm]).value)
    if not defaults or not {"ours", "expert", "stack"} <= times.keys():
        return {"error": "; ".join(f"{arm}: {why}" for arm, why in errors.items())}
    limit = times["stack"] * dorsal.cost(dorsal.network(name), asked.size).macs / macs_of_stack
    default = defaults[0]
    return {
        "chosen": chosen,
        "done": share(ours[chosen], precision, images, threads),
        "ms": {arm: median_of(each).value for arm, each in times.items()} | {"limit": median_of(limit).value},
        "times": {arm: each.tolist() for arm, each in times.items()},
        "ours tried": dict(zip(ours, map(float, medians), strict=True)),
        "default": default,
        "to default": ends(times[default], times["ours"]),
        "to expert": ends(times["expert"], times["ours"]),
        "to default with a float32 hint": ends(times[HINTED], times["ours"]) if HINTED in times else None,
        "share of limit": ends(limit, times["ours"]),
        "others": contest.others,
        "errors": errors,
    }


def share(path: Path, precision: Any, images: np.ndarray, threads: int) -> float:
    if path.suffix == ".onnx":
        done = executed_by_onnx(OnnxSession(path, threads, profile=path.parent / "profile"), images)
    else:
        done = executed_by_openvino(OpenVinoSession(path, threads, precision, "latency", images.shape))
    return done.share(precision)


def profile(graph: Path, stack: Path, precision: Any, images: np.ndarray, threads: int) -> dict[str, Any]:
    """By kind of layer its milliseconds, MACs and number, and the rate of the stack just then, in MACs in a ms."""
    given = np.random.default_rng(0).normal(size=(len(images), CHANNELS, SIDE, SIDE)).astype(np.float32)
    stacked = list(openvino_layers(stack, precision, given, threads))
    onnx = graph.suffix == ".onnx"
    layers = onnx_layers(graph, images, threads) if onnx else openvino_layers(graph, precision, images, threads)
    kinds: dict[str, list[float]] = {}
    for operator, own, shapes, took in layers:
        kind, macs = kind_of(operator, own, shapes)
        before = kinds.get(kind, [0, 0, 0])
        kinds[kind] = [before[0] + took, before[1] + macs, before[2] + 1]
    rate = sum(kind_of(*each[:3])[1] for each in stacked) / sum(took for *_, took in stacked)
    return {"rate": rate, "kinds": dict(sorted(kinds.items(), key=lambda each: -each[1][0]))}


def kind_of(operator: str, precision: str, shapes: list[list[int]]) -> tuple[str, int]:
    """What a layer is called in a profile, and its MACs. Shapes are of its input, its weight and its output."""
    if len(shapes) < 3 or not any(word in operator for word in ("Conv", "Gemm", "MatMul", "FullyConnected")):
        return operator, 0
    data, weight, output = shapes
    macs = math.prod(output) * math.prod(weight) // output[1]
    if "Conv" not in operator:
        return f"{operator}, {precision}", macs
    words = ["x".join(map(str, weight[-2:]))]
    words += ["grouped"] * (math.prod(weight[:-2]) < data[1] * output[1])
    words += ["of the image"] * (data[1] <= 4) + ["of means"] * (output[2] == 1)
    words += [f"stride {data[2] // output[2]}"] * (data[2] > output[2])
    return f"{' '.join(words)}, {precision}", macs


def openvino_layers(graph: Path, precision: Any, images: np.ndarray, threads: int) -> Iterator[Layer]:
    import openvino

    core = openvino.Core()
    read = core.read_model(graph)
    read.reshape(list(images.shape))
    hint = {"float32": "f32", "bfloat16": "bf16"}.get(precision)
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "PERF_COUNT": True}
    compiled = core.compile_model(read, "CPU", settings | ({"INFERENCE_PRECISION_HINT": hint} if hint else {}))
    request, took = compiled.create_infer_request(), defaultdict(list)
    for _ in range(PROFILED):
        request.infer([images])
        for each in request.profiling_info:
            took[each.node_name].append(1e3 * each.real_time.total_seconds())
    for node in compiled.get_runtime_model().get_ops():
        said, calls = node.get_rt_info(), took.get(node.get_friendly_name())
        if calls:
            shapes = [list(port.get_partial_shape().get_max_shape()) for port in [*node.inputs()[:2], *node.outputs()]]
            kind, own = (said[key].astype(str) for key in ("layerType", "runtimePrecision"))
            yield kind, own, shapes[:3], float(np.median(calls))


def onnx_layers(graph: Path, images: np.ndarray, threads: int) -> Iterator[Layer]:
    import onnx

    session, took, said = OnnxSession(graph, threads, profile=graph.parent / "profile"), defaultdict(list), {}
    for _ in range(PROFILED):
        session(images)
    written, run = session.profiled()
    for event in json.loads(written.read_bytes()):
        if event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            took[name].append(event["dur"] / 1e3)
            said[name] = event["args"]
    model = onnx.load(run).graph
    nodes = {node.name: node for node in model.node}
    weights = {each.name: list(each.dims) for each in model.initializer}
    for name, calls in took.items():
        kind, types = said[name]["op_name"], said[name]["input_type_shape"]
        # A quantized operator has the scale and the zero of its input between that and its weight.
        place = 3 if kind.startswith("Q") else 1
        weight = weights.get(nodes[name].input[place]) if name in nodes and len(nodes[name].input) > place else None
        own, data = next(iter(types[0].items())) if types else ("", [])
        output = next(iter(said[name]["output_type_shape"][0].values()))
        if weight and any(each.name == "channels_last" and each.i for each in nodes[name].attribute):
            data, output = ([each[0], each[-1], *each[1:-1]] for each in (data, output))
        yield kind, own, [data, weight, output] if weight else [], float(np.median(calls))


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
    busy = f"other work took {100 * found['others']:.0f} %" if found["others"] > BUSY else ""
    for to, least in required(name, precision).items():
        value, low, high = found[to]
        verdict = f"not to be trusted, {busy}" if busy else "met" if low >= least else "NOT MET"
        print(f"   {to}: {value:.3f} ({low:.3f} to {high:.3f}), at least {least} required: {verdict}")
    if hinted := found.get("to default with a float32 hint"):
        print("   to default with a float32 hint: {:.3f} ({:.3f} to {:.3f})".format(*hinted))
    value, low, high = found["share of limit"]
    print(f"   share of the limit: {value:.2f} ({low:.2f} to {high:.2f})", flush=True)


def show_profile(found: dict[str, Any]) -> None:
    rate, kinds = found["profile"]["rate"], found["profile"]["kinds"]
    whole, macs = (sum(each[place] for each in kinds.values()) for place in (0, 1))
    print(f"   layers {whole:.2f} ms; their MACs take {macs / rate:.2f} ms at the rate of the limit just then:")
    for kind, (took, own, count) in kinds.items():
        if took > 0.005 * whole:
            more = f"  {own / 1e6:7.1f} MMACs, {own / rate:6.2f} ms at the limit" if own else ""
            print(f"   {took:8.2f} ms  {100 * took / whole:4.1f} %  {count:3} {kind:34}{more}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--batch", default="1,16")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--out", type=Path, help="file of the results; what it has is not measured again")
    parser.add_argument("--profile", action="store_true", help="print the layers of our form by kind")
    asked = parser.parse_args()
    if asked.rounds < FEWEST:
        parser.error(f"--rounds {asked.rounds} is less than two sittings; nearest valid: {FEWEST}")
    kept = json.loads(asked.out.read_text()) if asked.out and asked.out.exists() else {}
    here = machine("cpu", 1, asked.threads)
    place = {"size": asked.size, "threads": asked.threads, "processor": here.processor}
    if any(each.get("place") != place for each in kept.values()):
        parser.error(f"--out {asked.out} holds results of another size, processor, number of threads or benchmark")
    print(f"{here.processor}, {', '.join(instructions())}; {asked.threads} threads; {versions() | runtime_versions()}")
    print(f"other work takes {100 * other_work():.0f} % of the processor", flush=True)

    def keep(key: str, found: dict[str, Any]) -> None:
        kept[key] = found
        if asked.out:
            asked.out.write_text(json.dumps(kept, indent=1))

    for name in asked.networks.split(","):
        model = randomised(dorsal.build(dorsal.network(name)))
        with tempfile.TemporaryDirectory() as made:
            for precision in asked.precisions.split(","):
                for batch in map(int, asked.batch.split(",")):
                    key, folder = f"{name} {batch} {precision}", Path(made)
                    if "ms" not in kept.get(key, {}):  # what failed is tried again
                        reason = why_not(Form("openvino", precision, "folded"))
                        found = cell(name, model, batch, precision, asked, folder) if not reason else {}
                        keep(key, (found or {"unavailable": f"not available: {reason}"}) | {"place": place})
                    show(name, batch, precision, kept[key])
                    if asked.profile and "ms" in kept[key]:
                        if "profile" not in kept[key]:
                            graph = write_ours(model, precision, asked.size, folder)[kept[key]["chosen"]]
                            stack, images = write_stack(precision, folder)[0], np.concatenate(smooth(batch, asked.size))
                            layers = profile(graph, stack, precision, images, asked.threads)
                            keep(key, kept[key] | {"profile": layers})
                        show_profile(kept[key])


if __name__ == "__main__":
    main()
