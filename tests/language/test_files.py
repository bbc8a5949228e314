"""Text files of users: marks, homes, and what cannot be read; every kind of file that is read."""

from pathlib import Path

import msgspec
import pytest

from dorsal.language.files import absence, read_text_file
from dorsal.recipes.named import NAMED
from dorsal.recipes.text import recipe, to_json, to_toml
from dorsal.space import space as spaces
from dorsal.space.named import read_space
from dorsal.zoo import network

KINDS = {
    "recipe.toml": (recipe, to_toml(NAMED["tricks"]), NAMED["tricks"]),
    "recipe.json": (recipe, to_json(NAMED["tricks"]), NAMED["tricks"]),
    "network.json": (network, msgspec.json.encode(network("small")).decode(), network("small")),
    "space.toml": (read_space, spaces.to_toml(read_space("anynetx_a")), read_space("anynetx_a")),
    "space.json": (read_space, msgspec.json.encode(read_space("anynetx_a")).decode(), read_space("anynetx_a")),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("name", KINDS)
def test_files_are_read_with_and_without_a_mark_and_from_home(name, encoding, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    read, text, value = KINDS[name]
    (tmp_path / name).write_text(text, encoding=encoding)
    assert read(str(tmp_path / name)) == value
    assert read(f"~/{name}") == value


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_no_text_is_refused_by_name(name, tmp_path):
    read, *_ = KINDS[name]
    (tmp_path / name).write_bytes(b"a = \xff")
    with pytest.raises(ValueError, match=rf"file '.*{name}' is not UTF-8 text: invalid start byte at byte 4"):
        read(str(tmp_path / name))
    with pytest.raises(ValueError, match=r"file '.*missing\.json' does not exist"):
        read(str(tmp_path / "missing.json"))


def test_a_file_that_may_not_be_read_is_an_error_that_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").touch()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(ValueError, match=r"the file '.*' cannot be read: Permission denied"):
        read_text_file("the file", str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("files", "wanted", "says"),
    [
        ((), "study.json", "there is no study.json in it"),
        (("model.json",), "study.json", "it is the folder of a model"),
        (("scores.json",), "study.json", "it is the folder of scores of models"),
        (("study.json",), "spaces.json", "it is the folder of a study without spaces.json"),
        (("study.json", "search.json"), "spaces.json", "it is the folder of a search"),
        (("study.json", "spaces.json"), "model.json", "it is the folder of a population"),
        (("spaces.json",), "study.json", "there is no study.json in it"),
    ],
)
def test_what_a_folder_is_instead(files: tuple[str, ...], wanted: str, says: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert absence(tmp_path, wanted) == says


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert absence(tmp_path / "file", "study.json") == "it is a file"
    assert absence(tmp_path / "nowhere", "study.json") == "there is no such folder"
    assert absence(tmp_path / ("x" * 300), "study.json") == "there is no such folder"
