import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorsal.data.spec import DataSpec, Folder, Scenes, parse_data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scenes", Scenes()),
        ("scenes()", Scenes()),
        (" scenes ( size = 64 , train=4000 ) ", Scenes(size=64, train=4000)),
        ("scenes(seed=3,val=500)", Scenes(seed=3, val=500)),
        ("photos", Folder("photos")),
        ("photos(size=160)", Folder("photos", size=160)),
        ("./scenes", Folder("./scenes")),
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
        ("scenes(path=photos)", ["no field 'path'", "seed, size, train, val, channels"]),
        ("photos(val_fraction=nan)", ["val_fraction", "nan", "0.99"]),
        ("photos(val_fraction=1)", ["val_fraction", "1", "0.99"]),
        ("photos(normalization=imagnet)", ["normalization='imagnet' is not one of", "did you mean 'imagenet'?"]),
        ("scenes(size=48", ["'scenes(size=48'", "field=value"]),
        ("", ["''"]),
    ],
)
def test_bad_text_is_refused_by_name(
    text: str, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
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
