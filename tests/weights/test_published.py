"""The table of published weights: every entry holds together, and agrees with the packages it was taken from."""

import math
import re
from pathlib import Path

import pytest

from dorsal.spec.preprocessing import Preprocessing
from dorsal.weights.class_names import read_labels
from dorsal.weights.published import PublishedWeights, find_published, published, published_as
from dorsal.zoo import network, text_of

ENTRIES = published()
HUB = [entry for entry in ENTRIES if entry.hub]
TORCHVISION = [entry for entry in ENTRIES if entry.format == "torchvision"]


def by_id(entry: PublishedWeights) -> str:
    return entry.id


@pytest.mark.parametrize("entry", ENTRIES, ids=by_id)
def test_entry_holds_together(entry):
    net = network(entry.network)
    assert text_of(net) == entry.network
    assert entry.id.count(".") == 1
    assert (entry.hub != "") != (entry.url != "")
    assert entry.license
    assert entry.recipe
    assert all(0 < value < 100 for value in entry.metrics.values())
    assert set(entry.metrics) <= {"top1", "top5"}
    assert entry.metrics.get("top1", 0) <= entry.metrics.get("top5", 100)
    assert len(read_labels(entry.classes, net.head.classes).classes) == net.head.classes
    assert entry.preprocessing.image_size >= net.total_stride or entry.classes == "cifar10"
    if entry.url:
        assert entry.url.endswith(f"/{entry.file}")
        assert entry.sha256_prefix == (re.findall(r"-([0-9a-f]{8})\.", entry.file) or [""])[0]
        assert entry.sha256_prefix or entry.format == "pycls"  # pycls alone names its files without


def test_ids_and_local_names_are_unique():
    assert len({entry.id for entry in ENTRIES}) == len(ENTRIES)
    assert len({entry.local_name for entry in ENTRIES}) == len(ENTRIES)


def test_every_family_and_publisher_is_there():
    assert len(ENTRIES) > 300
    assert {entry.format for entry in ENTRIES} == {
        "timm",
        "torchvision",
        "resnest",
        "res2net",
        "pycls",
        "mm",
        "pytorch_resnet_cifar10",
    }
    assert {e.network for e in ENTRIES if e.format == "pycls" and e.network.startswith("regnet")} == {
        f"regnet{x}_{n}"
        for x in "xy"
        for n in ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")
    }


def test_licenses_say_what_their_authors_say():
    for entry in ENTRIES:
        res2net = entry.network.startswith(("res2net", "res2next", "dla60_res2ne"))
        assert (entry.license == "CC-BY-NC-SA-4.0") == res2net, entry.id
        assert entry.non_commercial >= res2net
        if "swag" in entry.id:
            assert entry.license == "CC-BY-NC-4.0"


@pytest.mark.parametrize("entry", HUB, ids=by_id)
def test_hub_entries_are_timms_own(entry):
    timm = pytest.importorskip("timm")
    config = timm.get_pretrained_cfg(entry.hub.removeprefix("timm/"))
    if config.hf_hub_id is None:  # not known to this version of timm
        pytest.skip(f"timm {timm.__version__} has no {entry.hub}")
    assert config.hf_hub_id == entry.hub
    made = entry.preprocessing
    size = (config.test_input_size or config.input_size)[-1]
    assert (made.image_size, made.interpolation, made.color_order) == (size, config.interpolation, "rgb")
    assert made.resize == math.floor(size / (config.test_crop_pct or config.crop_pct))
    assert (made.mean, made.std) == (config.mean, config.std)
    assert config.crop_mode == "center"
    assert network(entry.network).head.classes == config.num_classes
    known = {"unknown": ("unknown", "CC-BY-NC-SA-4.0"), None: ("unknown",), "seer-license": (entry.license,)}
    assert entry.license.lower() in [text.lower() for text in known.get(config.license, (config.license,))]


def test_torchvision_entries_are_its_own():
    models = pytest.importorskip("torchvision.models")
    weights = {w.url: w for name in models.list_models(module=models) for w in models.get_model_weights(name)}
    for entry in TORCHVISION:
        known = weights[entry.url]
        transform = known.transforms()
        made = entry.preprocessing
        assert ([made.image_size], [made.resize]) == (transform.crop_size, transform.resize_size)
        assert made.interpolation == transform.interpolation.value
        assert (list(made.mean), list(made.std)) == (transform.mean, transform.std)
        assert entry.metrics == {
            name: known.meta["_metrics"]["ImageNet-1K"][theirs]
            for name, theirs in (("top1", "acc@1"), ("top5", "acc@5"))
        }
    families = ("resnet", "resnext", "wide_resnet", "regnet")
    assert len(TORCHVISION) == sum(url.rsplit("/", 1)[1].startswith(families) for url in weights)


def test_parameters_are_those_that_torchvision_states():
    """The networks that ids name are the right ones: their parameters are what the packages count."""
    from dorsal.spec.cost import cost

    models = pytest.importorskip("torchvision.models")
    weights = {w.url: w for name in models.list_models(module=models) for w in models.get_model_weights(name)}
    for entry in TORCHVISION:
        assert cost(network(entry.network), 224).params == weights[entry.url].meta["num_params"], entry.id


def test_every_file_can_be_converted_and_its_order_of_colours_is_the_formats():
    from dorsal.weights.convert import takes_bgr

    for entry in ENTRIES:
        assert takes_bgr(entry.format, network(entry.network)) == (entry.preprocessing.color_order == "bgr"), entry.id


def test_find_suggests():
    assert find_published("resnest50.official_in1k").file == "resnest50-528c19ca.pth"
    with pytest.raises(ValueError, match=r"did you mean resnest50\.official_in1k"):
        find_published("resnest50.oficial_in1k")
    with pytest.raises(ValueError, match=r"did you mean resnet50\.timm_a1_in1k or"):
        find_published("resnet50")
    with pytest.raises(ValueError, match=r"the id .xyz.; there are \d+, see `dorsal weights list`"):
        find_published("xyz")


def test_files_are_found_by_their_local_names():
    for entry in ENTRIES:
        assert published_as(entry.local_name) == entry
    assert published_as("model.safetensors") is None


def test_labels(tmp_path):
    imagenet = read_labels("imagenet", 1000)
    assert imagenet.classes[:2] == ("n01440764", "n01443537")
    assert imagenet.names[:2] == ("tench", "goldfish")
    assert list(imagenet.classes) == sorted(set(imagenet.classes))
    assert read_labels("numbered", 3).classes == ("0", "1", "2")
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    assert read_labels(str(names), 2).classes == ("cat", "dog")
    assert read_labels(str(names), 2).names == ()
    with pytest.raises(ValueError, match="has 2 classes and the network 3"):
        read_labels(str(names), 3)
    names.write_text("cat\ncat\n")
    with pytest.raises(ValueError, match="names 'cat' twice"):
        read_labels(str(names), 2)
    with pytest.raises(ValueError, match="neither imagenet, cifar10, numbered, none nor an existing file"):
        read_labels("imagenett", 1000)


def test_preprocessing_is_checked_and_scales():
    usual = Preprocessing(image_size=224, resize=256)
    assert (usual.at(288).image_size, usual.at(288).resize) == (288, 329)
    assert usual.at(224) == usual
    with pytest.raises(ValueError, match="image_size=256 must be from 1 to resize=224"):
        Preprocessing(image_size=256, resize=224)
    with pytest.raises(ValueError, match="above 0 in every channel"):
        Preprocessing(image_size=224, resize=224, std=(1, 0, 1))


def test_an_entry_is_found_by_its_id_itself_or_its_file():
    entry = find_published("resnet20.akamaster_cifar10")
    for name in (entry, Path("somewhere") / entry.local_name, f"somewhere/{entry.local_name}", entry.local_name):
        assert find_published(name) == entry
    with pytest.raises(TypeError, match="name=3 is of type int; it must be an id of `dorsal weights list`"):
        find_published(3)
