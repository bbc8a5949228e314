import io
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from dorsal.data import folder as folder_module
from dorsal.data.folder import FolderSplit, open_folder
from dorsal.data.spec import DataError, Folder
from dorsal.spec.preprocessing import IMAGENET
from tests.data.pictures import all_paths, fill, paths, picture


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return fill(tmp_path / "pets", {"cat": 10, "dog": 5})


def problems(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_folder(Folder(str(path)))
    return str(caught.value)


def count_calls(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[object]:
    """A list that grows by one with each call of the module's function."""
    calls: list[object] = []
    original = getattr(module, name)

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(module, name, counted)
    return calls


# --- splits


def test_class_folders_are_split_by_class(pets: Path) -> None:
    data = open_folder(Folder(str(pets), val_fraction=0.2))
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0] * 8 + [1] * 4
    assert data.val.labels.tolist() == [0] * 2 + [1] * 1
    assert (data.size, data.flip, data.notes) == (224, True, ())


def test_splits_share_no_file_and_miss_none(pets: Path) -> None:
    checked = open_folder(Folder(str(pets)))
    assert sorted(all_paths(checked)) == sorted(pets.rglob("*.png"))


def test_seed_chooses_what_is_held_out(pets: Path) -> None:
    held = {seed: paths(open_folder(Folder(str(pets), seed=seed)).val) for seed in range(8)}
    assert held[0] == paths(open_folder(Folder(str(pets), seed=0)).val)
    assert len(set(held.values())) > 4


def test_held_out_files_stay_when_one_is_added(pets: Path) -> None:
    before = set(paths(open_folder(Folder(str(pets), val_fraction=0.5)).val))
    picture(99).save(pets / "cat" / "new.png")
    after = set(paths(open_folder(Folder(str(pets), val_fraction=0.5)).val))
    assert len(before - after) <= 1


def test_every_class_keeps_an_image_on_either_side(tmp_path: Path) -> None:
    root = fill(tmp_path / "few", {"a": 2, "b": 30})
    for fraction in (0.01, 0.99):
        data = open_folder(Folder(str(root), val_fraction=fraction))
        assert np.bincount(data.train.labels).min() >= 1
        assert np.bincount(data.val.labels).min() >= 1


def test_own_train_and_val_are_kept(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": 3, "b": 2})
    fill(tmp_path / "val", {"a": 1, "b": 2})
    checked = open_folder(Folder(str(tmp_path)))
    assert {path.parts[-3] for path in paths(checked.train)} == {"train"}
    assert {path.parts[-3] for path in paths(checked.val)} == {"val"}
    assert checked.val.labels.tolist() == [0, 1, 1]
    # the second picture of each class was written from the same seed in both
    assert any("also in train" in note for note in checked.notes)


@pytest.mark.parametrize(("dogs", "says"), [(4, True), (20, False)])
def test_unequal_classes_are_told_of(dogs: int, says: bool, tmp_path: Path) -> None:
    root = fill(tmp_path / "pets", {"cat": 30, "dog": dogs})
    told = [note for note in open_folder(Folder(str(root))).notes if note.startswith("the classes are unequal")]
    assert told == says * [
        "the classes are unequal: always answering 'cat' would score 85.7 % of the validation images; "
        "see class_weights and sampling of recipes"
    ]


def test_deeper_images_belong_to_their_class(pets: Path) -> None:
    (pets / "cat" / "kittens").mkdir()
    picture(7).save(pets / "cat" / "kittens" / "a.PNG")
    assert len(open_folder(Folder(str(pets))).train) + len(open_folder(Folder(str(pets))).val) == 16


def test_names_may_be_of_any_script(tmp_path: Path) -> None:
    root = fill(tmp_path / "données", {"кошка": 3, "犬 😀": 3})
    assert open_folder(Folder(str(root))).classes == ("кошка", "犬 😀")


def test_names_may_be_undecodable(pets: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(pets / "cat") + b"/\xff.png"))
    try:
        picture(4).save(odd)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes names of valid text only")
    checked = open_folder(Folder(str(pets)))
    assert odd in all_paths(checked)


# --- what the images are


def test_images_keep_their_own_size_and_pixels(pets: Path) -> None:
    checked = open_folder(Folder(str(pets)))
    expected = torch.from_numpy(np.array(Image.open(paths(checked.train)[3]))).permute(2, 0, 1)
    assert expected.shape == (3, 16, 24)
    assert torch.equal(checked.train.image(3), expected)
    assert checked.train.targets(3).label == 0
    assert checked.train.targets(3).box is None


def test_small_sets_are_decoded_once_and_large_ones_on_demand(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_folder(Folder(str(pets)))
    assert data.train.stacked is None
    decoded = count_calls(monkeypatch, folder_module, "pixels")
    first = [data.train.image(index) for index in range(12)]
    assert len(decoded) == 12
    assert all(data.train.image(index) is first[index] for index in range(12))
    assert len(decoded) == 12
    monkeypatch.setattr(folder_module, "_CACHE_BYTES", 15 * 3 * 16 * 24 - 1)
    lazy = open_folder(Folder(str(pets)))
    for _ in range(2):
        assert all(torch.equal(lazy.train.image(index), first[index]) for index in range(12))
    assert len(decoded) == 12 + 24


def test_loader_processes_share_what_may_be_kept(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each keeps its own, so that so many may keep no more than one."""
    monkeypatch.setattr(folder_module, "_CACHE_BYTES", 15 * 3 * 16 * 24)
    data = open_folder(Folder(str(pets)))
    decoded = count_calls(monkeypatch, folder_module, "pixels")
    monkeypatch.setattr(folder_module, "get_worker_info", lambda: SimpleNamespace(num_workers=2))
    for _ in range(2):
        data.train.image(0)
    assert len(decoded) == 2


def test_images_of_several_sizes(pets: Path) -> None:
    picture(5, (40, 30)).save(pets / "cat" / "large.png")
    data = open_folder(Folder(str(pets)))
    split = data.train if pets / "cat" / "large.png" in paths(data.train) else data.val
    assert split.image(paths(split).index(pets / "cat" / "large.png")).shape == (3, 30, 40)


def converted(root: Path, image: Image.Image, name: str, **options: object) -> tuple[torch.Tensor, str]:
    """How `image` is read back once in class cat of `root`, and the notes."""
    image.save(root / "cat" / name, **options)
    checked = open_folder(Folder(str(root)))
    split = checked.train if root / "cat" / name in paths(checked.train) else checked.val
    return split.image(paths(split).index(root / "cat" / name)), "\n".join(checked.notes)


def test_16_bit_grey_is_scaled_not_clipped(pets: Path) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    for name in ("deep.png", "deep.tif"):
        image, notes = converted(pets, Image.fromarray(ramp), name)
        assert image.shape == (3, 16, 16)
        assert torch.equal(image[0].flatten(), torch.arange(256, dtype=torch.uint8))
        assert "1 image with more than 8 bits a channel" in notes
        assert name in notes
        (pets / "cat" / name).unlink()


def test_grey_and_bilevel_are_repeated(pets: Path) -> None:
    grey, notes = converted(pets, picture(1).convert("L"), "grey.png")
    assert torch.equal(grey[0], grey[2])
    assert "1 image in grey" in notes
    bilevel, notes = converted(pets, picture(1).convert("1"), "one.png")
    assert set(bilevel.unique().tolist()) <= {0, 255}
    assert "2 images in grey" in notes


def test_palette_is_looked_up(pets: Path) -> None:
    image, notes = converted(pets, picture(2).quantize(16), "palette.png")
    difference = image.float() - torch.from_numpy(np.array(picture(2))).permute(2, 0, 1).float()
    assert difference.abs().mean() < 12
    assert "palette" in notes


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "RGB", "L"])
def test_transparent_pixels_are_laid_over_white(pets: Path, mode: str) -> None:
    """Left half opaque black, right half transparent over a hidden colour."""
    if mode == "P":
        image = Image.new("P", (16, 16), 0)
        image.putpalette([0, 0, 0, 200, 0, 0])
        image.paste(1, (8, 0, 16, 16))
        options: dict[str, object] = {"transparency": 1}
    elif mode in {"RGB", "L"}:
        hidden: tuple[int, int, int] | int = (200, 0, 0) if mode == "RGB" else 200
        image = Image.new(mode, (16, 16), 0)
        image.paste(hidden, (8, 0, 16, 16))
        options = {"transparency": hidden}
    else:
        image = Image.new(mode, (16, 16), (0, 0, 0, 255) if mode == "RGBA" else (0, 255))
        image.paste((200, 0, 0, 0) if mode == "RGBA" else (200, 0), (8, 0, 16, 16))
        options = {}
    rgb, notes = converted(pets, image, "clear.png", **options)
    assert torch.all(rgb[:, :, :8] == 0)
    assert torch.all(rgb[:, :, 8:] == 255)
    assert "transparency" in notes


def test_cmyk_is_converted(pets: Path) -> None:
    image, notes = converted(pets, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "print.jpg")
    red, green, blue = image.float().mean(dim=(1, 2)).tolist()
    assert red > 200
    assert max(green, blue) < 60
    assert "CMYK" in notes


def test_exif_orientation_turns_the_image(pets: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    upright, _ = converted(pets, picture(3, (40, 24)), "turned.png", exif=exif)
    plain = torch.from_numpy(np.array(picture(3, (40, 24)))).permute(2, 0, 1)
    assert torch.equal(upright, torch.rot90(plain, -1, (1, 2)))


# --- normalization and fingerprint


def test_normalization_is_of_training_images_weighed_alike(tmp_path: Path) -> None:
    for split, values in (("train", (10, 110)), ("val", (255, 255))):
        for name, value in zip("ab", values, strict=True):
            (tmp_path / split / name).mkdir(parents=True)
            side = 16 if name == "a" else 64
            Image.new("RGB", (side, side), (value, value // 2, 7)).save(tmp_path / split / name / "x.png")
    data = open_folder(Folder(str(tmp_path)))
    np.testing.assert_allclose(data.normalization.mean, [60 / 255, 30 / 255, 7 / 255])
    np.testing.assert_allclose(data.normalization.std, [50 / 255, 25 / 255, 1 / 255])
    assert open_folder(Folder(str(tmp_path), normalization="imagenet")).normalization == IMAGENET


def test_fingerprint_is_of_contents_not_of_place(pets: Path, tmp_path: Path) -> None:
    def mark() -> str:
        return open_folder(Folder(str(pets))).fingerprint

    first = mark()
    pets = pets.rename(tmp_path / "moved")
    assert mark() == first
    assert open_folder(Folder(str(pets), seed=1)).fingerprint != first
    picture(12345).save(pets / "cat" / "003.png")
    assert mark() != first


# --- bad input


def test_files_that_are_no_images_are_a_note(pets: Path) -> None:
    (pets / "readme.txt").write_text("hello")
    (pets / "cat" / "labels.csv").write_text("1,2")
    (pets / "cat" / ".DS_Store").write_text("")
    data = open_folder(Folder(str(pets)))
    assert len(data.train) + len(data.val) == 15
    assert any(note.startswith("2 files that are no images") for note in data.notes)


def corrupt(path: Path) -> None:
    picture(1).save(path, "JPEG")
    path.write_bytes(bytes(16) + path.read_bytes()[16:])


def truncated_jpeg(path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def truncated_png(path: Path) -> None:
    picture(1, (64, 64)).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:-200])


def flipped_png(path: Path) -> None:
    picture(1, (64, 64)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def text_as_image(path: Path) -> None:
    path.write_text("an HTML page saved under the wrong name")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def tiny(path: Path) -> None:
    picture(1, (100, 7)).save(path, "PNG")


def floating(path: Path) -> None:
    Image.fromarray(np.ones((16, 16), np.float32)).save(path, "TIFF")


def wide_integers(path: Path) -> None:
    Image.fromarray(np.full((16, 16), 70_000, np.int32)).save(path, "TIFF")


def broken_link(path: Path) -> None:
    path.symlink_to("nowhere.jpg")


def circular_link(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (corrupt, "not an image"),
        (truncated_jpeg, "truncated"),
        (truncated_png, "cannot be"),
        (flipped_png, "cannot be"),
        (text_as_image, "not an image"),
        (nothing, "not an image"),
        (tiny, "is 100x7 px; the smallest side allowed is 8 px"),
        (floating, "floating-point"),
        (wide_integers, "32-bit"),
        (broken_link, "No such file"),
        (circular_link, "symbolic links"),
    ],
)
def test_a_bad_image_is_named(pets: Path, spoil: Callable[[Path], None], reason: str) -> None:
    spoil(pets / "dog" / "bad.jpg")
    message = problems(pets)
    assert "1 problem:" in message
    assert f"{pets / 'dog' / 'bad.jpg'}: " in message
    assert reason in message


def test_many_problems_are_listed_and_then_counted(pets: Path) -> None:
    for index in range(30):
        corrupt(pets / "cat" / f"bad{index:02}.jpg")
    message = problems(pets)
    assert "30 problems" in message
    assert message.count("not an image") == 20
    assert "and 10 more" in message


def test_problems_of_names_and_of_images_come_together(pets: Path) -> None:
    corrupt(pets / "cat" / "bad.jpg")
    (pets / "bird").mkdir()
    message = problems(pets)
    assert "bad.jpg" in message
    assert f"{pets / 'bird'}: holds no images" in message


def test_an_empty_class_says_what_it_holds_instead(pets: Path) -> None:
    (pets / "bird").mkdir()
    (pets / "bird" / "a.heic").write_bytes(b"0")
    assert "1 files there are of no known image format" in problems(pets)


def test_one_class_alone(tmp_path: Path) -> None:
    assert "one class only, 'cat'" in problems(fill(tmp_path / "x", {"cat": 4}))


def test_one_image_cannot_be_split(tmp_path: Path) -> None:
    message = problems(fill(tmp_path / "x", {"cat": 4, "dog": 1}))
    assert "dog" in message
    assert "only image of its class" in message


def test_no_class_folders(tmp_path: Path) -> None:
    assert "no class folders" in problems(tmp_path)
    picture(1).save(tmp_path / "loose.png")
    assert "no class folders" in problems(tmp_path)


def test_no_such_folder(tmp_path: Path) -> None:
    assert "is not a folder" in problems(tmp_path / "absent")


def test_train_without_val_and_the_reverse(tmp_path: Path) -> None:
    fill(tmp_path / "one" / "train", {"a": 2, "b": 2})
    message = problems(tmp_path / "one")
    assert "has train and no val; add a folder `val`" in message
    assert f"name {tmp_path / 'one' / 'train'} itself to have it split" in message
    fill(tmp_path / "other" / "val", {"a": 2, "b": 2})
    assert "has val and no train" in problems(tmp_path / "other")


def test_a_class_of_val_that_train_lacks(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"cat": 2, "dog": 2})
    fill(tmp_path / "val", {"cats": 1, "dog": 1})
    message = problems(tmp_path)
    assert "class 'cats' is not in train; did you mean 'cat'?" in message


def test_a_class_of_train_that_val_lacks_is_a_note(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"cat": 2, "dog": 2})
    fill(tmp_path / "val", {"dog": 1})
    assert any("no validation images, first: 'cat'" in note for note in open_folder(Folder(str(tmp_path))).notes)


@pytest.mark.parametrize("target", ["cat", ".", "cat/deep"])
def test_links_in_a_circle(pets: Path, target: str) -> None:
    (pets / "cat" / "deep").mkdir()
    picture(1).save(pets / "cat" / "deep" / "a.png")
    (pets / "cat" / "deep" / "again").symlink_to(pets / target, target_is_directory=True)
    assert "again: is a link to a folder that contains it" in problems(pets)


def test_a_link_that_leads_elsewhere_is_followed(pets: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "other", {"more": 4})
    (pets / "cat" / "linked").symlink_to(other / "more", target_is_directory=True)
    checked = open_folder(Folder(str(pets)))
    assert len(checked.train) + len(checked.val) == 19


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission(pets: Path) -> None:
    (pets / "cat").chmod(0)
    try:
        assert f"{pets / 'cat'}: cannot be read: Permission denied" in problems(pets)
    finally:
        (pets / "cat").chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter everything")
def test_a_root_without_permission(pets: Path) -> None:
    for mode in (0o000, 0o444):
        pets.chmod(mode)
        try:
            assert str(pets) in problems(pets)
        finally:
            pets.chmod(0o755)


def test_a_folder_that_refuses_to_be_read(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the test above, for root too."""
    original = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "cat":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", refuse)
    message = problems(pets)
    assert f"{pets / 'cat'}: cannot be read: Permission denied" in message
    assert "1 problem:" in message


def test_splits_are_what_they_say(pets: Path) -> None:
    checked = open_folder(Folder(str(pets)))
    assert isinstance(checked.train, FolderSplit)
    for split in (checked.train, checked.val):
        for path, label in zip(paths(split), split.labels, strict=True):
            assert path.parent.name == checked.classes[label]
