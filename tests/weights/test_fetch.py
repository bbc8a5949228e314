"""Fetching against a server of our own: resumed, checked, refused, and without a network."""

import hashlib
import http.server
import re
import threading
from typing import ClassVar

import msgspec
import pytest

from dorsal.spec.preprocessing import Preprocessing
from dorsal.weights import fetch as fetch_module
from dorsal.weights.fetch import FetchError, cache_folder, fetch
from dorsal.weights.published import PublishedWeights

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT under any name; the first part of the path says how: whole, ranges, drop, 404, 403."""

    requests: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self):
        how, asked = self.path.split("/")[1], self.headers["Range"]
        self.requests.append((how, asked))
        if how.isdigit():
            self.send_error(int(how))
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and how != "whole" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = start + (len(CONTENT) - start) // 2 if how == "drop" else len(CONTENT)
        self.wfile.write(CONTENT[start:stop])

    def do_HEAD(self):  # what the hub's client asks before it downloads
        how = self.path.split("/")[1]
        if how.isdigit():
            self.send_error(int(how))
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("ETag", f'"{SHA256}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DORSAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DORSAL_WEIGHTS", raising=False)
    Handler.requests.clear()
    return tmp_path / "home" / "weights"


def entry(url="http://127.0.0.1:9/nowhere", prefix=SHA256[:8], **fields):
    file = f"net-{prefix}.pth" if prefix else "net.pth"
    made = PublishedWeights(
        id="net.test",
        network="resnet50",
        format="torchvision",
        file=file,
        url=f"{url}/{file}",
        license="MIT",
        preprocessing=Preprocessing(image_size=224, resize=256),
    )
    return msgspec.structs.replace(made, **fields)


def test_downloads_once_and_reports_progress(server, home):
    heard = []
    wanted = entry(f"{server}/ranges")
    path = fetch(wanted, progress=lambda done, total: heard.append((done, total)))
    assert path == home / wanted.file
    assert path.read_bytes() == CONTENT
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(wanted, offline=True) == path
    assert Handler.requests == [("ranges", None)]
    assert not list(home.glob("*.part"))


def test_a_dropped_connection_is_said_and_the_next_call_goes_on(server, home):
    with pytest.raises(FetchError, match=r"ended after 512,000 of 1,024,000 bytes; the same call goes on from there"):
        fetch(entry(f"{server}/drop"))
    assert not (home / entry().file).exists()
    assert fetch(entry(f"{server}/ranges")).read_bytes() == CONTENT
    assert Handler.requests[-1] == ("ranges", "bytes=512000-")


@pytest.mark.parametrize("how", ["whole", "ranges"])
def test_a_half_written_download_is_completed(server, home, how):
    """Also by a server that knows no ranges and sends everything again."""
    home.mkdir(parents=True)
    (home / f"{entry().file}.part").write_bytes(CONTENT[:100_000])
    assert fetch(entry(f"{server}/{how}")).read_bytes() == CONTENT


def test_a_complete_part_needs_only_its_name(server, home):
    home.mkdir(parents=True)
    (home / f"{entry().file}.part").write_bytes(CONTENT)
    assert fetch(entry(f"{server}/ranges")).read_bytes() == CONTENT


@pytest.mark.parametrize("first", [b"", b"of another file" * 10, CONTENT + b"more"])
def test_a_wrong_download_is_deleted(server, home, first):
    wrong = entry(f"{server}/ranges", prefix="0" * 8) if not first else entry(f"{server}/ranges")
    home.mkdir(parents=True)
    if first:
        (home / f"{wrong.file}.part").write_bytes(first)
    with pytest.raises(FetchError, match=r"is not the file of net.test.*should begin \w+; the download was deleted"):
        fetch(wrong)
    assert not list(home.glob("*.part"))
    assert not list(home.glob("*.pth"))
    if first:  # and the next call has a clean start
        assert fetch(wrong).read_bytes() == CONTENT


def test_without_a_hash_in_the_name_the_size_is_what_is_checked(server):
    assert fetch(entry(f"{server}/ranges", prefix="")).read_bytes() == CONTENT


@pytest.mark.parametrize(("how", "reason"), [("404", "404 Not Found"), ("403", "403 Forbidden")])
def test_refusals_say_what_to_do(server, how, reason):
    refused = entry(f"{server}/{how}", note="known to be gone")
    with pytest.raises(FetchError, match=reason) as caught:
        fetch(refused)
    assert refused.file in str(caught.value)
    assert "DORSAL_WEIGHTS" in str(caught.value)
    assert "known to be gone" in str(caught.value)


def test_no_network_says_what_to_do():
    with pytest.raises(FetchError, match=r"cannot be downloaded .*Connection refused"):
        fetch(entry())


def test_a_local_folder_comes_first_and_needs_no_network(tmp_path, monkeypatch):
    (tmp_path / entry().file).write_bytes(CONTENT)
    assert fetch(entry(), tmp_path) == tmp_path / entry().file
    monkeypatch.setenv("DORSAL_WEIGHTS", str(tmp_path))
    assert fetch(entry(), offline=True) == tmp_path / entry().file


def test_a_wrong_file_of_ones_own_is_refused_and_kept(tmp_path):
    own = tmp_path / entry().file
    own.write_bytes(b"something else")
    with pytest.raises(FetchError, match=f"its sha256 begins \\w{{8}} and should begin {SHA256[:8]}$"):
        fetch(entry(), tmp_path)
    assert own.read_bytes() == b"something else"


def test_offline_says_what_is_missing_and_where_to_put_it():
    with pytest.raises(FetchError, match="offline nothing is downloaded") as caught:
        fetch(entry(), offline=True)
    assert "http://127.0.0.1:9/nowhere" in str(caught.value)
    assert entry().file in str(caught.value)


HUB = {"hub": "timm/resnet50.a1_in1k", "file": "model.safetensors", "url": ""}


def test_hub_files_have_a_local_name_of_their_own(tmp_path):
    (tmp_path / "resnet50.a1_in1k.safetensors").write_bytes(CONTENT)
    assert fetch(entry(**HUB), tmp_path) == tmp_path / "resnet50.a1_in1k.safetensors"


def test_the_hubs_client_is_called_with_the_entrys_names(monkeypatch, tmp_path):
    client = pytest.importorskip("huggingface_hub")
    called = []

    def download(repo_id, filename, *, local_files_only):
        called.append((repo_id, filename, local_files_only))
        return str(tmp_path / "somewhere")

    monkeypatch.setattr(client, "hf_hub_download", download)
    assert fetch(entry(**HUB)) == tmp_path / "somewhere"
    assert called == [("timm/resnet50.a1_in1k", "model.safetensors", False)]


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    """Points the hub's client at our server, which then answers as the first part of the path says."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def answer(how):
        template = f"{server}/{how}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", f"{server}/{how}")

    return answer


def test_the_hub_is_asked_once_and_its_cache_serves_offline(hub):
    hub("ranges")
    path = fetch(entry(**HUB))
    assert path.read_bytes() == CONTENT
    hub("404")
    assert fetch(entry(**HUB), offline=True) == path


def test_the_hub_offline_says_what_is_missing(hub):
    hub("404")
    with pytest.raises(FetchError, match="offline nothing is downloaded") as caught:
        fetch(entry(**HUB), offline=True)
    assert "timm/resnet50.a1_in1k on the Hugging Face hub" in str(caught.value)
    assert "resnet50.a1_in1k.safetensors" in str(caught.value)


@pytest.mark.parametrize("code", ["404", "403"])
def test_a_hub_that_refuses(hub, code):
    hub(code)
    with pytest.raises(
        FetchError, match=r"timm/resnet50\.a1_in1k on the Hugging Face hub cannot be downloaded"
    ) as caught:
        fetch(entry(**HUB))
    assert code in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "resnet50.a1_in1k.safetensors" in str(caught.value)


def test_without_the_hubs_client_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(fetch_module.sys.modules, "huggingface_hub", None)
    with pytest.raises(FetchError, match=r"pip install 'dorsal\[hub\]'"):
        fetch(entry(**HUB))


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/dorsal/weights"),
        ("linux", {}, "/me/.cache/dorsal/weights"),
        ("darwin", {}, "/me/Library/Caches/dorsal/weights"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/dorsal/weights"),
        ("linux", {"DORSAL_HOME": "/here", "XDG_CACHE_HOME": "/x"}, "/here/weights"),
    ],
)
def test_cache_folder_is_the_platforms(monkeypatch, platform, variables, expected):
    for name in ("DORSAL_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/me")
    monkeypatch.setattr(fetch_module.sys, "platform", platform)
    assert cache_folder().as_posix() == expected
