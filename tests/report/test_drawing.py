from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorsal.report.drawing import draw_network
from dorsal.report.sketch import ranges
from dorsal.zoo import NETWORKS, network

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


def count(drawing: str, sign: str) -> int:
    """How many sums ("+") or products ("×") are drawn: their strokes are upright or slanted."""
    strokes = [node.get("d", "") for node in ElementTree.fromstring(drawing).iter(f"{SVG}path") if node.get("class")]
    upright = [stroke.split(" L")[0].split()[0][1:] == stroke.split(" L")[1].split()[0] for stroke in strokes]
    return sum(upright) if sign == "+" else len(upright) - sum(upright)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_published_network_has_a_drawing(name: str) -> None:
    net = NETWORKS[name]
    words = texts(draw_network(net))
    assert [f"{stage.depth} × {stage.width}" for stage in net.stages] == [
        word for word in words if word in {f"{stage.depth} × {stage.width}" for stage in net.stages}
    ]
    assert str(net.head.classes) in words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", ["3×3, 64 → 64"]),
        ("resnext50_32x4d", ["1×1, 256 → 128", "3×3, 128 → 128", "32 groups of 4"]),
        ("resnest50", ["split attention: 2 splits, 64 → 64 each", "64→32→128", "softmax of 2"]),
        ("res2net50_26w_4s", ["1×1, 256 → 104", "multi-scale: split in 4", "as is", "concatenate 4 scales"]),
        ("skresnet50", ["selective kernel: 2 paths, 32 → 64 each", "3×3 dil. 2", "64→8→128"]),
        ("regnety_032", ["3×3, 72 → 72", "3 groups of 24", "SE: pool", "72→18→72"]),
        ("resnet50(mixer=conv(deformable=true))", ["deformable 3×3, 64 → 64"]),
        ("res2netplus50", ["then mish", "After the reducing 1×1 the activation comes before the norm."]),
    ],
)
def test_the_numbers_of_a_block_are_those_of_the_network(name: str, expected: list[str]) -> None:
    words = texts(draw_network(network(name)))
    assert [word for word in expected if word not in words] == []


@settings(max_examples=12, deadline=None)
@given(scales=st.integers(1, 8))
def test_a_cascade_of_s_scales_has_its_boxes_and_sums(scales: int) -> None:
    drawing = draw_network(network(f"resnet50(mixer=multi_scale(scales={scales}, width=16))"))
    assert texts(drawing).count("3×3") == max(scales - 1, 1)
    # s - 2 sums in the cascade, one of the shortcut
    assert count(drawing, "+") == max(scales - 2, 0) + 1


@settings(max_examples=8, deadline=None)
@given(radix=st.integers(1, 4))
def test_split_attention_of_radix_r_weights_r_branches(radix: int) -> None:
    drawing = draw_network(network(f"resnet50(mixer=split_attention(radix={radix}), widths=[192, 384, 768, 1536])"))
    assert texts(drawing).count("3×3") == radix
    assert count(drawing, "×") == radix
    assert ("sigmoid" if radix == 1 else f"softmax of {radix}") in texts(drawing)


def test_more_scales_than_fit_are_said_to_be_left_out() -> None:
    assert "concatenate 16 scales (8 shown)" in texts(
        draw_network(network("resnet50(mixer=multi_scale(scales=16, width=4))"))
    )


def test_a_stage_of_one_block_shows_the_first_block() -> None:
    drawing = draw_network(network("small(mixer=multi_scale(scales=4, width=26), depths=[1, 1, 1], stem=conv7x7)"), 64)
    words = texts(drawing)
    assert "pool" in words
    assert "as is" not in words
    assert "1×1 convolution" in words
    assert count(drawing, "+") == 1


@pytest.mark.parametrize("downsample", ["pool_before", "pool_after"])
def test_a_pool_of_the_first_block_is_on_its_side_of_the_mixer(downsample: str) -> None:
    words = texts(draw_network(network(f"small(depths=[1, 1, 1], downsample={downsample})"), 32))
    pool = words.index("average pool 3×3, stride 2")
    mixer = next(i for i, word in enumerate(words) if word.startswith("3×3, "))
    assert (pool < mixer) == (downsample == "pool_before")


def test_stages_with_different_blocks_are_drawn_apart() -> None:
    words = texts(draw_network(network("resnet50(mixer=[conv, conv, split_attention, conv])")))
    headings = [word for word in words if word.startswith("Block of")]
    assert headings == ["Block of stages 1–2, 4, with the channels of stage 1", "Block of stage 3"]


@pytest.mark.parametrize(
    "change",
    [
        "mixer=conv(groups=2)",
        "mixer=selective_kernel",
        "attention=squeeze_excite",
        "attention=squeeze_excite(position=after_mixer)",
        "shortcut=average_pool",
        "order=act_norm",
        "downsample=pool_after",
        "expansion=2",
        "block=basic",
        "depths=[3, 4, 6, 4]",
        "dilations=[1, 1, 2, 4]",
        "stem=deep",
        "activation=mish",
    ],
)
def test_every_choice_changes_the_drawing(change: str) -> None:
    assert draw_network(network(f"resnet50({change})")) != draw_network(network("resnet50"))


def test_resolutions_follow_the_image() -> None:
    assert [word for word in texts(draw_network(network("resnet18"), 64)) if word.endswith("²")] == ["16²"] * 2 + [
        "8²",
        "4²",
        "2²",
    ]
    with pytest.raises(ValueError, match="image_size=16 is smaller than the network's total stride"):
        draw_network(network("resnet18"), 16)


def test_it_is_described_for_readers_who_do_not_see_it() -> None:
    root = ElementTree.fromstring(draw_network(network("resnest50")))
    assert root.get("role") == "img"
    assert "mixer split_attention" in (root.get("aria-label") or "")


def test_ranges() -> None:
    assert ranges([1, 2, 3, 5, 7, 8]) == "1–3, 5, 7–8"
