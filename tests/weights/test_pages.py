"""The Python examples of the pages on weights run as they stand."""

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "docs"
EXAMPLES = [
    pytest.param(block, id=f"{page}-{index}")
    for page in ("backbones", "formats", "weights")
    for index, block in enumerate(
        re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text("utf-8"), re.DOTALL)
    )
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example, tmp_path, monkeypatch):
    for package in ("timm", "segmentation_models_pytorch"):
        if package in example:
            pytest.importorskip(package, reason="it is in the test extra")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example, names)
    if "detector" in names:
        assert all(parameter.grad is None for parameter in names["body"].parameters())
        sum(names["losses"].values()).backward()
        assert all(parameter.grad is not None for parameter in names["body"].parameters())
        assert names["boxes"].shape[1] == 4
