"""Graphs in int8: close to the model, block by block, and the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dorsal
from dorsal.deploy.executed import executed_by_onnx, executed_by_openvino
from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import Form, Rewrite, Runtime
from dorsal.deploy.possible import why_not
from dorsal.deploy.proof import agreement
from dorsal.deploy.quantize import (
    BIASES,
    RANGES,
    Quantization,
    block_of,
    blocks_of,
    check_calibration,
    module_of,
    quantize,
    quantize_onnx,
)
from dorsal.deploy.rewrite import rewritten
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession
from dorsal.spec.cost import cost
from tests.deploy.disk import files_of_at_most
from tests.deploy.models import randomised

TEXT = "resnest_small(depths=[1, 1], widths=[32, 64], strides=[1, 2], classes=10)"
FILES = {"openvino": ("q.xml", "q.bin"), "onnxruntime": ("q.onnx",)}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """As training leaves one: no bias is 0, and running statistics are those of images."""
    torch.manual_seed(0)
    model = dorsal.build(dorsal.network(TEXT))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, 0, 0.1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.from_numpy(np.concatenate(images(64, 2))))
    return rewritten(model, "chunked")


def images(count: int, seed: int, size: int = 64) -> list[np.ndarray]:
    """Smooth images, since noise has no large and small values to tell apart."""
    random = np.random.default_rng(seed)
    small = random.normal(size=(count, 1, 3, size // 8, size // 8)).astype(np.float32)
    return [each.repeat(8, 2).repeat(8, 3) for each in small]


def exported(runtime: Runtime, model: torch.nn.Module, folder: Path) -> Path:
    if reason := why_not(Form(runtime, "int8", "chunked")):
        pytest.skip(reason)
    path = folder / ("m.xml" if runtime == "openvino" else "m.onnx")
    export = export_openvino if runtime == "openvino" else export_onnx
    export(model, (torch.randn(2, 3, 64, 64),), path, any_size=True)
    return path


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_is_close_and_is_executed(tmp_path: Path, network: torch.nn.Module, runtime: Runtime) -> None:
    source, target = exported(runtime, network, tmp_path), tmp_path / FILES[runtime][0]
    seen = np.concatenate(images(16, 1))
    with torch.inference_mode():
        exact = network(torch.from_numpy(seen)).numpy()
    errors = []
    recipes = [Quantization(ranges=ranges) for ranges in RANGES[runtime]]
    recipes += [Quantization(ranges="minmax", bias=bias) for bias in BIASES[runtime] if bias != "none"]
    for recipe in recipes:
        quantize(runtime, source, target, images(32, 0), recipe)
        if runtime == "openvino":
            session = OpenVinoSession(target, 1, "int8", shape=(16, 3, 64, 64))
            (said,), done = session(seen), executed_by_openvino(session)
        else:
            (said,) = OnnxSession(target, 1)(seen)
            done = executed_by_onnx(OnnxSession(target, 1, profile=tmp_path / "p"), seen)
        errors.append(agreement(list(said), list(exact)).error)
        assert done.share("int8") > 0.99
        assert done.fallen("int8") == ()
        assert sum(done.macs.values()) == pytest.approx(16 * cost(dorsal.network(TEXT), 64).macs, rel=0.05)
    assert len(set(errors)) == len(errors), "each does something else"
    assert min(errors) < 0.15
    assert max(errors) < 0.5


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("rewrite", ["none", "apart"])
def test_every_layer_is_in_a_block(tmp_path: Path, runtime: Runtime, rewrite: Rewrite) -> None:
    source = exported(runtime, rewritten(randomised(dorsal.build(dorsal.network(TEXT))), rewrite), tmp_path)
    blocks = blocks_of(source)
    assert set(blocks) == {"", "stem", "stages.0.0", "stages.1.0", "fc"}
    found = [name for names in blocks.values() for name in names]
    assert len(set(found)) == len(found)
    read = {
        name
        for name, kind in operators(source)
        if kind in ("Conv", "Convolution", "GroupConvolution", "MatMul", "Gemm")
    }
    layers = {block: len(read.intersection(names)) for block, names in blocks.items()}
    splits = 1 + (rewrite == "apart")
    assert layers == {"": 0, "stem": 1, "stages.0.0": 4 + splits, "stages.1.0": 5 + splits, "fc": 1}


def operators(graph: Path) -> list[tuple[str, str]]:
    if graph.suffix == ".onnx":
        import onnx

        return [(node.name, node.op_type) for node in onnx.load(graph).graph.node]
    import openvino

    return [(each.get_friendly_name(), each.get_type_name()) for each in openvino.Core().read_model(graph).get_ops()]


def test_blocks_of_every_task_and_network() -> None:
    assert block_of("trunk.stages.0.1.mixer.convs.0") == "trunk.stages.0.1"
    assert block_of("stages.2.roots.0.conv") == "stages.2.roots.0"
    assert block_of("box_head.stages.1.0.fc1") == "box_head.stages.1.0"
    assert [block_of(each) for each in ("trunk.stem.convs.0", "neck.laterals.1", "fc", "")] == [
        "trunk.stem",
        "neck",
        "fc",
        "",
    ]
    assert module_of("__module.model.stages.0.0.mixer/aten::add/Add_1") == "stages.0.0.mixer"
    assert module_of("model.neck.outputs.0.weight_quantized") == "neck.outputs.0"
    assert module_of("__module.model/aten::mean/ReduceMean") == ""
    assert module_of("Constant_990") is None


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_kept_block_stays_in_floating_point(tmp_path: Path, network: torch.nn.Module, runtime: Runtime) -> None:
    source, target = exported(runtime, network, tmp_path), tmp_path / FILES[runtime][0]
    recipe = Quantization(ranges="minmax", kept=("stem", "stages.1.0"), images=16)
    quantize(runtime, source, target, images(16, 0), recipe)
    if runtime == "openvino":
        done = executed_by_openvino(OpenVinoSession(target, 1, "float32", shape=(1, 3, 64, 64)))
    else:
        done = executed_by_onnx(OnnxSession(target, 1, profile=tmp_path / "p"), images(1, 0)[0])
    assert {block_of(name) for name, precision, _ in done.layers if precision == "float32"} == set(recipe.kept)
    assert {block_of(name) for name, precision, _ in done.layers if precision == "int8"} == {"stages.0.0", "fc"}
    assert len(done.fallen("int8")) == 7
    assert done.fallen("int8", recipe.kept) == ()


def test_a_block_that_there_is_not(tmp_path: Path, network: torch.nn.Module) -> None:
    source = exported("onnxruntime", network, tmp_path)
    recipe = Quantization(ranges="minmax", kept=("stages.0.1",))
    with pytest.raises(ValueError, match=r"no block 'stages.0.1' to keep .* near are stages"):
        quantize("onnxruntime", source, tmp_path / "q.onnx", images(16, 0), recipe)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("ranges", ["minmax", "histogram"])
def test_the_same_images_make_the_same_file(tmp_path: Path, network: torch.nn.Module, runtime: Runtime, ranges) -> None:
    source = exported(runtime, network, tmp_path)
    seen, others = images(16, 0), images(16, 5)
    made = []
    for given in (seen, seen, others):
        quantize(runtime, source, tmp_path / FILES[runtime][0], given, Quantization(ranges=ranges))
        made.append([(tmp_path / name).read_bytes() for name in FILES[runtime]])
    assert made[0] == made[1]
    assert made[0] != made[2]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, network: torch.nn.Module, runtime: Runtime) -> None:
    source = exported(runtime, network, tmp_path)
    for name in FILES[runtime]:
        (tmp_path / name).write_text("before")
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OSError), files_of_at_most(20_000):  # noqa: PT011
        quantize(runtime, source, tmp_path / FILES[runtime][0], images(16, 0), Quantization(ranges="minmax"))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_what_a_model_does_between_its_blocks_stays_as_it_is(tmp_path: Path) -> None:
    """A detector's coordinates have no 256 values. Its second input comes with each image."""
    if reason := why_not(Form("onnxruntime", "int8", "none")):
        pytest.skip(reason)
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["images", "w"], ["found"], name="conv"),
        helper.make_node("Cast", ["sizes"], ["whole"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Add", ["found", "whole"], ["boxes"], name="add"),
    ]
    for node, module in zip(nodes, ("model.rpn.conv", "model", "model"), strict=True):
        scope = node.metadata_props.add()
        scope.key, scope.value = "pkg.torch.onnx.name_scopes", str(["", module, "itself"])
    graph = helper.make_graph(
        nodes,
        "boxes",
        [
            helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 8, 8]),
            helper.make_tensor_value_info("sizes", TensorProto.INT64, [1, 1]),
        ],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 4, 8, 8])],
        [numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "m.onnx")
    given = [(each[..., :8, :8], np.array([[1000 + place]])) for place, each in enumerate(images(16, 0))]
    quantize_onnx(tmp_path / "m.onnx", tmp_path / "q.onnx", given, "histogram")
    (exact,), (said,) = (OnnxSession(tmp_path / name, 1)(*given[0]) for name in ("m.onnx", "q.onnx"))
    assert 0 < np.abs(said - exact).max() < 0.1, "256 steps from 0 to 1000 would be 4 apart"


def test_activations_that_are_a_little_below_0_have_a_zero_point(tmp_path: Path) -> None:
    """Half of the 256 values would be for what SiLU never gives."""
    text = "regnetz_small(depths=[1], widths=[16], strides=[2], classes=10)"
    source = exported("openvino", rewritten(randomised(dorsal.build(dorsal.network(text))), "folded"), tmp_path)
    quantize("openvino", source, tmp_path / "q.xml", images(16, 0), Quantization(ranges="minmax"))
    import openvino

    found = [
        [float(port.get_source_output().get_node().data.min()) for port in each.inputs()[1:3]]
        for each in openvino.Core().read_model(tmp_path / "q.xml").get_ops()
        if each.get_type_name() == "FakeQuantize"
        and each.inputs()[0].get_source_output().get_node().get_type_name() == "Swish"
    ]
    assert found
    assert all(-0.3 < low < 0 < high for low, high in found), "SiLU is -0.28 at its least"


def test_too_few_images_to_calibrate_by() -> None:
    check_calibration(16)
    with pytest.raises(
        ValueError, match=r"^calibration=10: 10 images for calibration are too few .*; nearest valid: 16$"
    ):
        check_calibration(10)
