"""The detector of docs/backbones.md learns; that the page's examples run is tested in tests/test_examples.py."""

from tests.test_examples import examples


def test_the_detector_passes_gradients_to_its_body():
    (code,) = [each.text for each in examples("docs/backbones.md") if "FasterRCNN" in each.text]
    names = {}
    exec(code, names)
    assert all(parameter.grad is None for parameter in names["body"].parameters())
    sum(names["losses"].values()).backward()
    assert all(parameter.grad is not None for parameter in names["body"].parameters())
    assert names["boxes"].shape[1] == 4
