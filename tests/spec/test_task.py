"""Tasks as values: their text, what is filled in by the size of images, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorsal.spec.task import NAMED, Classify, Detect, Semantic, at, metric_of, needs, parse_task, task_text

_counts = st.none() | st.integers(4, 2000)
SEMANTIC = st.builds(
    Semantic,
    head=st.sampled_from(["deeplabv3", "deeplabv3+"]),
    channels=_counts,
    output_stride=st.sampled_from([None, 8, 16]),
    auxiliary=st.booleans(),
)
DETECT = st.builds(
    Detect,
    head=st.sampled_from(["faster", "cascade"]),
    masks=st.booleans(),
    box_head=st.sampled_from(["linear", "conv"]),
    channels=_counts,
    hidden=_counts,
    anchor=st.none() | st.floats(0.5, 32),
    proposals=_counts,
    samples=_counts,
    detections=st.integers(1, 1000),
)


@given(SEMANTIC | DETECT)
def test_texts_read_back(task: Semantic | Detect) -> None:
    assert parse_task(task_text(task)) == task


def test_names_are_the_shortest_texts() -> None:
    assert {name: task_text(task) for name, task in NAMED.items()} == {name: name for name in NAMED}
    assert task_text(Detect(head="cascade", masks=True)) == "cascade(masks=true)"
    assert task_text(parse_task("detect(masks=true)")) == "instance"


def test_what_is_left_open_follows_the_size_of_the_images() -> None:
    assert at(Detect(), 800) == Detect(channels=256, hidden=1024, anchor=8.0, proposals=1000, samples=512)
    assert at(Detect(), 64) == Detect(channels=64, hidden=256, anchor=1.28, proposals=80, samples=42)
    assert at(Detect(channels=32, samples=100), 300).hidden == 128
    assert at(Detect(channels=32, samples=100), 300).samples == 100
    assert at(Semantic(), 256) == Semantic(channels=128)
    assert at(Semantic(head="deeplabv3+"), 512) == Semantic(head="deeplabv3+", channels=256, output_stride=16)


@given(SEMANTIC | DETECT, st.integers(8, 2048))
def test_filled_in_once_nothing_is_left_to_fill_in(task: Any, size: int) -> None:
    whole = at(task, size)
    assert at(whole, 8) == whole
    assert None not in [getattr(whole, field) for field in type(whole).__struct_fields__]


def test_tasks_say_what_they_need_and_how_they_are_scored() -> None:
    assert [(sorted(needs(task)), metric_of(task).short) for task in NAMED.values()] == [
        (["label"], "accuracy"),
        (["semantic"], "mIoU"),
        (["boxes"], "AP"),
        (["boxes", "masks"], "mask AP"),
        (["boxes"], "AP"),
    ]
    assert NAMED["classify"] == Classify()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("detct", "unknown task 'detct'; did you mean detect?"),
        ("detect(haed=cascade)", "unknown field 'haed' of task detect; did you mean head?"),
        ("detect(head=cascad)", "head=cascad is not known; did you mean cascade?"),
        ("detect(masks=yes)", "masks=yes is not true or false"),
        ("detect(channels=0)", "channels=0 is below 1; nearest valid: 1"),
        ("detect(samples=3)", "samples=3 is below 4; nearest valid: 4"),
        ("instance(anchor=0.1)", "anchor=0.1 is below 0.5; nearest valid: 0.5"),
        ("detect(head=cascade", r"try: detect\(head=cascade\)"),
        ("semantic(output_stride=8)", "output_stride=8 means nothing to head=fpn; leave it out"),
        ("semantic(head=deeplabv3, output_stride=32)", "output_stride=32 is neither 8 nor 16; nearest valid: 16"),
        ("semantic(channels=64.5)", "channels=64.5 is not a whole number"),
        ("[detect]", "is no task: expected a name"),
        ("classify(classes=3)", "unknown field 'classes' of task classify; there are none"),
    ],
)
def test_other_texts_are_refused_with_the_nearest_choice(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_task(text)
