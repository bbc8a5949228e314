import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorsal.data.kinds import FIELDS, Format
from dorsal.data.spec import Annotated, DataSpec, Folder, Scenes, data_spec, format_data, parse_data
from tests.data.formats.samples import write_coco, write_yolo


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scenes", Scenes()),
        ("scenes()", Scenes()),
        (" scenes ( size = 64 , train=4000 ) ", Scenes(size=64, train=4000)),
        ("scenes(seed=3,val=500)", Scenes(seed=3, val=500)),
        ("scenes(largest=1, fragments=0)", Scenes(largest=1.0, fragments=0)),
        ("photos", Folder("photos")),
        ("photos(size=160)", Folder("photos", size=160)),
        ("./scenes", Folder("./scenes")),
        ("odd (name)(size=64)", Folder("odd (name)", size=64)),
        ("photos(channels=1, max_pixels=1000)", Folder("photos", channels=1, max_pixels=1000)),
        ("photos(val_fraction=0.1, seed=4, normalization=imagenet)", None),
        ("odd (name)", Folder("odd (name)")),
    ],
)
def test_text_gives_the_record(
    text: str, expected: DataSpec | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "scenes", "odd (name)"):
        Path(name).mkdir()
    if expected is None:
        expected = Folder("photos", val_fraction=0.1, seed=4, normalization="imagenet")
    assert parse_data(text) == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("scene", ["'scene'", "did you mean 'scenes'?"]),
        ("photo", ["'photo'", "did you mean 'photos'?"]),
        ("scenes(siez=64)", ["siez", "did you mean 'size'?", "seed, size, train, val"]),
        ("scenes(size=10)", ["size=10 is out of range 32 to 256; nearest valid: 32"]),
        ("scenes(size=300)", ["size", "300", "256"]),
        ("scenes(size=big)", ["size='big' is not a whole number"]),
        ("scenes(size=48.5)", ["size='48.5' is not a whole number"]),
        ("scenes(size)", ["'size'", "field=value"]),
        ("scenes(size=48, size=64)", ["size", "48", "64"]),
        ("scenes(train=0)", ["train", "0", "10"]),
        ("scenes(seed=-1)", ["seed", "-1", "0"]),
        ("scenes(path=photos)", ["no field 'path'", "seed, size, train, val, channels, smallest, largest"]),
        ("scenes(smallest=0)", ["smallest=0.0 is out of range 0.1 to 1.0; nearest valid: 0.1"]),
        ("scenes(largest=nan)", ["largest=nan is out of range"]),
        ("scenes(smallest=0.8, largest=0.5)", ["smallest=0.8 is above largest=0.5; nearest valid: smallest=0.5"]),
        ("scenes(fragments=-1)", ["fragments=-1 is out of range 0 to 16; nearest valid: 0"]),
        ("scenes(held_out=500)", ["held_out=500 is out of range 1 to 499; nearest valid: 499"]),
        ("photos(val_fraction=nan)", ["val_fraction", "nan", "0.99"]),
        ("photos(val_fraction=1)", ["val_fraction", "1", "0.99"]),
        ("photos(normalization=imagnet)", ["normalization='imagnet' is not one of", "did you mean 'imagenet'?"]),
        ("scenes(size=48", ["'scenes(size=48'", "field=value", "; try: scenes(size=48)"]),
        ("photos(size=48,", ["; try: photos(size=48)"]),
        ("scenes(channels=2)", ["channels=2 is neither 1 (grey) nor 3 (colour); nearest valid: 3"]),
        ("photos(channels=0)", ["channels=0 is out of range 1 to 64; nearest valid: 1"]),
        ("photos(max_pixels=9)", ["max_pixels=9 is out of range 64 to 10000000000; nearest valid: 64"]),
        ("photos(channels=1, normalization=imagenet)", ["not for channels=1", "nearest valid: normalization=measured"]),
        ("elsewhere/deeper", ["'elsewhere/deeper'", "folders in .: photos"]),
        ("photos/cat", ["'photos/cat' is neither"]),
        ("notes.txt", ["'notes.txt' is a file, not a folder; folders in .: photos"]),
        ("", ["''"]),
    ],
)
def test_bad_text_is_refused_by_name(
    text: str, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Path("notes.txt").write_text("")
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the parts below say which
        parse_data(text)
    for part in parts:
        assert part in str(caught.value)


@given(
    st.builds(
        Scenes,
        seed=st.integers(0, 2**32 - 1),
        size=st.integers(32, 256),
        train=st.integers(10, 100_000),
        val=st.integers(10, 100_000),
        channels=st.sampled_from([1, 3]),
    )
    | st.builds(
        Folder,
        st.text(min_size=1),
        size=st.integers(8, 2048),
        val_fraction=st.floats(0.01, 0.99),
        normalization=st.sampled_from(["measured", "imagenet"]),
    )
)
def test_records_survive_json(spec: DataSpec) -> None:
    assert msgspec.json.decode(msgspec.json.encode(spec), type=DataSpec) == spec


@pytest.mark.parametrize(
    "spec",
    [
        Scenes(),
        Scenes(size=64, channels=1),
        Scenes(smallest=0.3, largest=0.35, fragments=7, held_out=9),
        Folder("photos"),
        Folder("scenes"),
        Folder("odd (name)"),
        Folder("odd (name)", size=64),
        Folder("photos", 64, 0.1, 3, "imagenet", 3, 1000),
    ],
)
def test_text_of_a_record_reads_back_as_it(spec: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "scenes", "odd (name)"):
        Path(name).mkdir()
    read = parse_data(format_data(spec))
    assert read == (msgspec.structs.replace(spec, path="./scenes") if spec == Folder("scenes") else spec)


PLACES = {"ignore": st.integers(0, 65535)}


@st.composite
def annotated(draw: st.DrawFn) -> Annotated:
    """A record of a format, with any of the fields that it has."""
    format: Format = draw(st.sampled_from(list(FIELDS)))
    words = st.text("abz09 _-./{}=", max_size=9).map(str.strip)
    places = {name: draw(st.none() | PLACES.get(name, words)) for name in FIELDS[format]}  # type: ignore[arg-type]
    return Annotated(
        draw(st.sampled_from(["pets", "odd (name)", "a:b"])),
        format,
        size=draw(st.integers(8, 2048)),
        normalization=draw(st.sampled_from(["measured", "imagenet"])),
        max_images=draw(st.integers(0, 10**9)),
        **places,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with folders of the names that `annotated` draws."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("pets", "odd (name)", "a:b"):
        (folder / name).mkdir()
    return folder


@given(spec=annotated())
def test_annotated_records_come_back_from_text_and_json(place: Path, spec: Annotated) -> None:
    with contextlib.chdir(place):
        assert parse_data(format_data(spec)) == spec
    assert msgspec.json.decode(msgspec.json.encode(spec), type=DataSpec) == spec


def test_an_annotated_folder_is_recognized_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_yolo(Path("pets"), polygons=False)
    assert parse_data("pets(size=64)") == Annotated("pets", "yolo", size=64)
    assert data_spec(Path("pets")) == Annotated("pets", "yolo")
    assert parse_data("coco:pets(train=a.json)") == Annotated("pets", "coco", train="a.json")
    assert parse_data("folder:pets(val_fraction=0.1)") == Folder("pets", val_fraction=0.1)
    assert parse_data(format_data(Folder("pets"))) == Folder("pets")
    assert format_data(Annotated("pets", "yolo", channels=1)) == "yolo:pets(channels=1)"
    write_coco(Path("pets"))
    with pytest.raises(ValueError, match="may be coco or yolo; say which: coco:pets or yolo:pets"):
        parse_data("pets")
    assert parse_data(format_data(Folder("pets"))) == Folder("pets")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cocoo:pets", ["'cocoo' is not a format", "did you mean 'coco'?", "formats are coco, voc, yolo"]),
        ("coco:pest", ["'pest' is not an existing folder", "did you mean 'pets'?"]),
        ("coco:", ["names no folder", "as in coco:pets"]),
        ("coco:pets(ignore=3)", ["coco data have no field 'ignore'", "fields are size, normalization"]),
        ("coco:pets(siez=3)", ["no field 'siez'", "did you mean 'size'?"]),
        ("pairs:pets(ignore=-1)", ["ignore=-1 is out of range 0 to 65535; nearest valid: 0"]),
        ("coco:pets(max_images=-1)", ["max_images=-1 is out of range"]),
        ("voc:pets(channels=1, normalization=imagenet)", ["not for channels=1"]),
        ("folder:pets(max_images=3)", ["data have no field 'max_images'"]),
    ],
)
def test_bad_texts_of_annotated_folders_are_refused_by_name(
    text: str, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pets").mkdir()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the parts below say which
        parse_data(text)
    assert [part for part in parts if part not in str(caught.value)] == []


@pytest.mark.parametrize("fields", [{"file": "a.json"}, {"train": "a,b"}, {"train": 3}, {"train": "'a'"}])
def test_fields_that_no_text_could_hold_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Annotated("pets", "coco", **fields)


def test_text_of_a_record_names_what_is_not_at_its_default() -> None:
    assert format_data(Scenes()) == "scenes"
    assert format_data(Folder("photos", size=160)) == "photos(size=160)"


def test_a_home_is_found_wherever_a_path_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    expected = Folder(str(tmp_path / "photos"))
    for data in ("~/photos", "~/photos()", Path("~/photos"), Folder("~/photos"), Folder(Path("~/photos"))):  # type: ignore[arg-type]
        assert data_spec(data) == expected


def test_a_record_a_text_and_a_path_are_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scenes").mkdir()
    assert data_spec("scenes(size=64)") == Scenes(size=64)
    assert data_spec(Scenes(size=64)) == Scenes(size=64)
    assert data_spec(Path("scenes")) == Folder("scenes")
    assert data_spec(tmp_path) == Folder(str(tmp_path))
    with pytest.raises(ValueError, match="'nowhere' is neither"):
        data_spec(Path("nowhere"))


@pytest.mark.parametrize("given", [3, None, ["photos"], {"path": "photos"}, b"photos"])
def test_anything_else_is_refused_by_the_name_of_the_argument(given: object) -> None:
    with pytest.raises(TypeError, match=r"data=.* is of type .*; it must be a text such as 'scenes'"):
        data_spec(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [{"size": "64"}, {"size": 48.5}, {"size": True}, {"val_fraction": "0.1"}])
def test_values_of_another_kind_are_refused_by_name(fields: dict[str, object]) -> None:
    name, value = next(iter(fields.items()))
    with pytest.raises(ValueError, match=f"{name}={value!r} is not a (whole )?number"):
        Folder("photos", **fields)  # type: ignore[arg-type]


def test_a_path_that_no_record_could_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"photos\\xff.* is not valid UTF-8"):
        Folder("photos\udcff")


def test_json_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.json.decode('{"type": "scenes", "colour": 1}', type=DataSpec)


def test_description_names_what_counts() -> None:
    text = Scenes(size=64, train=2000).describe()
    assert "2,000" in text
    assert "64x64" in text
    assert "photos" in Folder("photos").describe()


def test_naming_data_needs_no_torch() -> None:
    code = "import sys, dorsal.data.spec; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
