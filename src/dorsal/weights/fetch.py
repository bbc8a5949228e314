"""Gets the file of a published checkpoint: from a local folder, the cache, or the internet. No torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock

from dorsal.language.files import sha256_of
from dorsal.weights.published import PublishedWeights

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes so far and in all, None if the server does not say."""

_TIMEOUT_SECONDS = 30
_CHUNK = 2**20


class FetchError(ValueError):
    """The message says why there is no file, where it is published, and where a copy may be put."""


def cache_folder() -> Path:
    """Where downloads are kept: `weights` in DORSAL_HOME, else `dorsal/weights` in the platform's cache folder."""
    if home := os.environ.get("DORSAL_HOME"):
        return Path(home) / "weights"
    match sys.platform:
        case "win32":
            base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
        case "darwin":
            base = Path.home() / "Library" / "Caches"
        case _:
            base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "dorsal" / "weights"


def fetch(
    entry: PublishedWeights, folder: Path | None = None, offline: bool = False, progress: Progress | None = None
) -> Path:
    """The file of a published checkpoint. It is downloaded only if there is no local copy.

    A copy is looked for by its name (`entry.local_name`) in `folder`, or else in the folder that DORSAL_WEIGHTS names,
    and then in the cache. Files of the Hugging Face hub lie in the hub's own cache and need the package
    `huggingface_hub`. If a file's name has the beginning of its sha256, the file is checked: a wrong download is
    deleted, a wrong copy in your folder is refused. An interrupted download goes on where it stopped. `progress` is
    called for plain addresses; the hub's client shows its own progress.

    Raises FetchError.
    """
    own = folder or _named_folder()
    if own is not None and (own / entry.local_name).is_file():
        return check_file(entry, own / entry.local_name)
    if entry.hub:
        return _from_hub(entry, offline)
    target = cache_folder() / entry.local_name
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(target.name + ".lock")):  # two processes would write into one another's file
        if not target.is_file():
            if offline:
                raise FetchError(f"{_missing(entry)}, and offline nothing is downloaded; {_by_hand(entry)}")
            part = target.with_name(target.name + ".part")
            _download(entry, part, progress)
            try:
                check_file(entry, part)
            except FetchError as error:
                part.unlink()
                raise FetchError(f"{error}; the download was deleted") from None
            part.replace(target)
    return target


def has_copy(entry: PublishedWeights) -> bool:
    """Whether `fetch` finds a copy on this machine, in the folder that DORSAL_WEIGHTS names or in a cache."""
    own = _named_folder()
    if own is not None and (own / entry.local_name).is_file():
        return True
    if not entry.hub:
        return (cache_folder() / entry.local_name).is_file()
    try:
        from huggingface_hub import try_to_load_from_cache
    except ModuleNotFoundError:
        return False
    return isinstance(try_to_load_from_cache(entry.hub, entry.file), str)


def _named_folder() -> Path | None:
    return Path(os.environ["DORSAL_WEIGHTS"]) if os.environ.get("DORSAL_WEIGHTS") else None


def _download(entry: PublishedWeights, part: Path, progress: Progress | None) -> None:
    """Downloads what is missing of `part`, which holds the first bytes of the file or does not exist."""
    have = part.stat().st_size if part.is_file() else 0
    request = Request(entry.url, headers={"User-Agent": "dorsal"} | ({"Range": f"bytes={have}-"} if have else {}))
    try:
        with urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            have = have if response.status == 206 else 0  # 200: the server sends the whole file
            total = _receive(response, part, have, progress)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # nothing lies beyond what we have: it is complete, or of another file
            return
        raise FetchError(f"{entry.url} answers {error.code} {error.reason}; {_by_hand(entry)}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise FetchError(f"{entry.url} cannot be downloaded ({reason}); {_by_hand(entry)}") from None
    have = part.stat().st_size
    if total is not None and have != total:
        raise FetchError(
            f"the connection to {entry.url} ended after {have:,} of {total:,} bytes; the same call goes on from there"
        )


def _receive(response: HTTPResponse, part: Path, have: int, progress: Progress | None) -> int | None:
    """Appends the response to the first `have` bytes of `part`. Returns the size the whole file will have."""
    length = response.headers.get("Content-Length")
    total = have + int(length) if length else None
    with part.open("ab" if have else "wb") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            have += len(chunk)
            if progress is not None:
                progress(have, total)
    return total


def _from_hub(entry: PublishedWeights, offline: bool) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError:
        raise FetchError(
            f"{_missing(entry)} and needs `pip install 'dorsal[hub]'` to be downloaded; {_by_hand(entry)}"
        ) from None
    try:
        return Path(hf_hub_download(entry.hub, entry.file, local_files_only=offline))
    except Exception as error:  # the client raises its own, httpx's or requests' errors, by its version
        if offline:
            raise FetchError(f"{_missing(entry)}, and offline nothing is downloaded; {_by_hand(entry)}") from None
        reason = str(error.__cause__ or error).splitlines()[0]
        raise FetchError(f"{entry.source} cannot be downloaded ({reason}); {_by_hand(entry)}") from None


def check_file(entry: PublishedWeights, path: Path) -> Path:
    """Returns `path`. Raises FetchError if the file's sha256 does not begin as the entry's file name says."""
    if entry.sha256_prefix:
        found = sha256_of(path)
        if not found.startswith(entry.sha256_prefix):
            raise FetchError(
                f"{path} is not the file of {entry.id}, or is damaged: its sha256 begins {found[:8]} and should begin "
                f"{entry.sha256_prefix}"
            )
    return path


def _missing(entry: PublishedWeights) -> str:
    return f"{entry.local_name} of {entry.id} is in no local folder; it is published at {entry.source}"


def _by_hand(entry: PublishedWeights) -> str:
    note = f" ({entry.note})" if entry.note else ""
    return (
        f"a copy of it named {entry.local_name} in a folder that --from or DORSAL_WEIGHTS names is used instead{note}"
    )
