"""The grammar: round trips, hashes, text, and refusals that name field, value and the nearest valid choice."""

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from dorsal.language.fields import show
from dorsal.language.reader import Call
from dorsal.spec.block import Bottleneck, Conv, Mixer, MultiScale, SplitAttention
from dorsal.spec.nearest import nearest_text
from dorsal.spec.network import Network, from_json, network_hash, to_json
from dorsal.spec.stage import Stage
from dorsal.spec.text import CHOICES, ELEMENTS, WORDS, choices_of, difference, edit
from dorsal.zoo import NETWORKS, named, network, text_of
from tests.networks import bottlenecks, networks


@pytest.mark.parametrize("name", NETWORKS)
def test_named_networks_round_trip(name):
    net = named(name)
    assert from_json(to_json(net)) == net
    assert network(text_of(net)) == net


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_any_crossing_round_trips(net):
    assert from_json(to_json(net)) == net
    text = text_of(net)
    assert network(text) == net
    assert text_of(network(text)) == text
    assert edit(named("resnet50"), choices_of(net)) == net


@pytest.mark.parametrize("kind", get_args(Mixer))
def test_random_networks_have_every_mixer(kind):
    assert isinstance(find(bottlenecks, lambda block: isinstance(block.mixer, kind)).mixer, kind)


def test_text_of_the_published_crossing():
    net = network("resnet50(mixer=multi_scale(scales=4, width=26), stem=deep)")
    assert net.stages[2].block.mixer == MultiScale(4, 26)
    assert text_of(net) == "res2net50_26w_4s(stem=deep)"
    assert network("resnet50(mixer=multi_scale(scales=4, width=26))") == named("res2net50_26w_4s")


def test_hash_depends_on_choices_only_and_is_pinned():
    assert network_hash(named("resnet50")) == network_hash(network("resnet101(depths=[3, 4, 6, 3])"))
    assert network_hash(named("resnet50")) != network_hash(network("resnet50(stem=deep)"))
    assert network_hash(named("resnet50")) == "f44f83159a738d40"  # stored studies refer to networks by it


def test_per_stage_values():
    net = network("resnet50(mixer=[conv, conv, multi_scale(scales=4, width=26), split_attention(radix=2)])")
    kinds = [type(stage.block.mixer).__name__ for stage in net.stages]
    assert kinds == ["Conv", "Conv", "MultiScale", "SplitAttention"]
    assert network(text_of(net)) == net


def test_difference_names_choices():
    changed = difference(named("resnet50"), named("resnest50"))
    assert changed == {
        "mixer": ("conv", "split_attention"),
        "shortcut": ("strided_conv", "average_pool"),
        "downsample": ("mixer", "pool_after"),
        "stem": ("conv7x7", "deep"),
    }


def test_difference_lists_nothing_that_one_block_does_not_have():
    assert set(difference(named("resnet18"), named("resnet50"))) == {"depths", "widths", "block"}
    bottlenecks = network("resnet18(block=bottleneck, expansion=2)")
    assert difference(bottlenecks, named("resnet18")) == {
        "block": ("bottleneck", "basic"),
        "expansion": ("2", "none"),
    }


def test_aliases():
    assert named("RegNetY-3.2GF") == named("regnety_032")


MISSPELT = [
    ("resnett50", "did you mean resnet50"),
    ("resnet50(mixr=conv)", "did you mean mixer"),
    ("resnet50(mixer=split_attention(radux=2))", "unknown field 'radux' of split_attention; did you mean radix"),
    ("resnet50(mixer=splitattention)", "did you mean split_attention"),
    ("resnet50(activation=gelu)", "did you mean relu"),
    ("resnet50(stem=deep", "expected ')' at character 19, found the end"),
    ("resnet50(stem=deep))", "expected the end"),
    ("resnet50(stem=)", "expected a value"),
    ("resnet50(stem=deep, stem=deep)", "given twice"),
    ("resnet50(classes=ten)", "classes=ten is not a whole number"),
    ("resnet50(classes=[1, 2, 3, 4])", "takes one value"),
    ("resnet50(depths=[1, 2])", "widths has 4 values for 2 stages"),
    ("resnet50(depths=[[1], [2]])", "not lists in a list"),
    ("resnet18(expansion=2)", "block=bottleneck"),
    ("17", "is not a network"),
    ("", "expected a value"),
    ("no_such_file.json", "does not exist"),
]
IMPOSSIBLE = [
    ("resnet50(mixer=conv(groups=7))", ["stage 1", "groups=7", "64", "63", "conv.groups=8"]),
    ("regnety_016(mixer=conv(group_width=17))", ["group_width=17", "nearest valid"]),
    ("resnet50(mixer=split_attention(radix=0))", ["radix=0", "nearest valid: 1"]),
    ("resnet50(mixer=multi_scale(scales=128))", ["scales=128", "64", "nearest valid"]),
    ("resnet50(mixer=multi_scale(scales=4, width=26, inner=split_attention(radix=4)))", ["26", "24", "28"][:2]),
    ("resnet50(mixer=multi_scale(inner=conv(width=4)))", ["inner.width=4", "leave the inner width out"]),
    ("resnet50(mixer=conv(group_width=8, groups=2))", ["group_width=8 already decides the groups"]),
    ("resnet50(mixer=conv(groups=32, width=0))", ["width=0", "nearest valid width is 1"]),
    ("resnet18(mixer=multi_scale)", ["multi_scale", "bottleneck"]),
    ("resnet18(mixer=conv(width=4))", ["mixer.width=4", "leave width out"]),
    ("resnet50(expansion=3)", ["expansion=3 does not divide width=256", "expansion=2"]),
    ("resnet50(expansion=0)", ["expansion=0"]),
    ("resnet50(strides=[1, 2, 3, 2])", ["stage 3", "stride=3", "nearest valid: 2"]),
    ("resnet50(depths=[3, 0, 6, 3])", ["stage 2", "depth=0", "nearest valid: 1"]),
    ("resnet50(classes=-1)", ["classes=-1", "nearest valid: 0"]),
    ("resnet50(in_channels=0)", ["in_channels=0"]),
    ("resnet50(arrangement=tree)", ["depth=3", "power of two", "nearest valid: depth=4"]),
    ("resnet50(expansion=0.3)", ["expansion=0.3", "one over a whole number"]),
    ("resnet50(head_width=0)", ["head.width=0", "nearest valid: 1"]),
    ("resnet50(mixer=multi_scale(scales=2, aliased=true))", ["aliased", "scales=3"]),
    ("resnet50(attention=squeeze_excite(ratio=0.0))", ["ratio=0.0", "above 0"]),
    ("resnet20(widths=[64, 32, 16])", ["zero_pad cannot shrink 64", "width=64"]),
    ("resnet50(mixer=selective_kernel(paths=3, split_input=true))", ["paths=3", "nearest valid"]),
    ("resnet50(stem=deep(widths=[0, 32, 64]))", ["stem width=0"]),
]
WITHOUT_A_NEAR_TEXT = {"17", "", "no_such_file.json", "resnet50(stem=deep, stem=deep)"}


def suggested(text):
    """The text that the refusal of `text` ends in, "" where it is a network or nothing is near."""
    try:
        network(text)
    except ValueError as error:
        return str(error).partition("try: ")[2]
    return ""


@pytest.mark.parametrize(
    ("text", "message"),
    MISSPELT,
)
def test_misspelt_text_is_answered(text, message):
    with pytest.raises(ValueError, match=r"\S") as caught:
        network(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    IMPOSSIBLE,
)
def test_impossible_combinations_are_refused_with_the_nearest_valid_value(text, parts):
    with pytest.raises(ValueError, match=r"\S") as caught:
        network(text)
    for part in parts:
        assert part in str(caught.value)


def test_unknown_fields_and_wrong_types_in_json_are_refused():
    data = json.loads(to_json(named("resnet50")))
    with pytest.raises(ValueError, match="unknown field `colour`"):
        from_json(json.dumps({**data, "colour": "red"}))
    with pytest.raises(ValueError, match="Expected `int`"):
        from_json(json.dumps({**data, "in_channels": "3"}))
    with pytest.raises(ValueError, match="not a network"):
        from_json("{")
    with pytest.raises(ValueError, match="at least one stage"):
        from_json(json.dumps({**data, "stages": []}))


def test_networks_are_frozen_and_hashable():
    net = named("resnet50")
    with pytest.raises(AttributeError):
        net.in_channels = 4
    assert len({net, named("resnet50"), named("resnet101")}) == 2


def test_construction_checks_too():
    with pytest.raises(ValueError, match="radix=-1"):
        Network((Stage(1, 64, block=Bottleneck(SplitAttention(radix=-1))),))
    with pytest.raises(ValueError, match="does not divide"):
        msgspec.structs.replace(named("resnet50"), stages=(Stage(1, 64, block=Bottleneck(Conv(groups=5))),))


@pytest.mark.parametrize("text", [text for text, _ in MISSPELT + IMPOSSIBLE if text not in WITHOUT_A_NEAR_TEXT])
def test_every_refusal_ends_in_a_text_that_is_a_network(text):
    assert network(suggested(text)) is not None


@pytest.mark.parametrize("text", sorted(WITHOUT_A_NEAR_TEXT))
def test_what_is_like_no_network_is_refused_without_one(text):
    assert not suggested(text)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("resnet18(mixer=multi_scale)", "resnet18(block=bottleneck, mixer=multi_scale)"),
        ("resnet18(mixer=multiscale(scales=3))", "resnet18(block=bottleneck, mixer=multi_scale(scales=2))"),
        ("resnest18", "resnest_small"),
        ("res2net18(stem=deep)", "res2net_small(stem=deep)"),
        ("resnet50(mixr=split_atention)", "resnet50(mixer=split_attention)"),
        ("resnet50(stem='deep'", "resnet50(stem=deep)"),
        ("resnet50(stem=deep(widths=[32, 64]))", "resnet50(stem=deep)"),
        ("resnet50(norm=instance)", "resnet50(norm=batch)"),
        ("resnet50(depths=[1, 2])", "resnet50(depths=[1, 2], widths=[256, 512], strides=[1, 2])"),
        ("resnet50(mixer=[conv, conv])", "resnet50(mixer=[conv, conv, conv, conv])"),
        ("resnet50(arrangement=tree)", "resnet50(depths=[4, 4, 8, 4], arrangement=tree)"),
        ("resnet20(widths=[64, 32, 16])", "resnet20(shortcut=strided_conv, widths=[64, 32, 16])"),
        ("res2net50(block=basic)", "res2net50(mixer=conv, block=basic)"),
    ],
)
def test_the_text_suggested_is_near_what_was_asked(text, near):
    assert suggested(text) == near


_NUMBERS = st.integers(-2, 70) | st.sampled_from([0.0, 0.3, 0.25, 1.5])
_ANY_WORD = st.sampled_from(
    [*sorted({word for words in WORDS.values() for word in words}), "mixr", "se", "none", "true"]
)
_FIELDS = st.sampled_from([*sorted({field for kind in ELEMENTS.values() for field in kind.__struct_fields__}), "radux"])
_VALUES = st.recursive(
    _NUMBERS | st.builds(Call, _ANY_WORD, st.just({})),
    lambda inner: st.lists(inner, max_size=5) | st.builds(Call, _ANY_WORD, st.dictionaries(_FIELDS, inner, max_size=3)),
    max_leaves=6,
)
_EDITS = st.dictionaries(st.sampled_from([*CHOICES, "mixr"]), _VALUES, min_size=1, max_size=3)


@settings(max_examples=40, deadline=None)
@given(st.builds(Call, st.sampled_from([*NETWORKS, "resnest18"]), _EDITS))
def test_what_is_suggested_for_any_edit_is_a_network(call):
    near = suggested(show(call))
    assert not near or network(near)


def test_a_search_for_a_near_text_ends():
    tried = []

    def refuses(text):
        tried.append(text)
        if "(" in text:
            raise ValueError
        return named("resnet50")

    assert not nearest_text(f"resnet50(widths={[*range(1, 200)]}, stem=deep)", refuses, ())
    assert len(tried) < 2_100
