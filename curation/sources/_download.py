"""Downloads one big file: streamed, resumed where it broke off, checked, published by an atomic rename."""

from __future__ import annotations

import hashlib
import logging
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from curation.core.errors import DiskError, InputError

_BLOCK: Final = 1 << 20
_TIMEOUT: Final = 60.0  # seconds without a byte
_ATTEMPTS: Final = 4  # in a row that brought nothing
_GONE_FOR_NOW: Final = (408, 429, 500, 502, 503, 504)
_log = logging.getLogger(__name__)


class _InterruptedError(Exception):
    """The transfer broke off; another attempt may go on with it."""


@dataclass(frozen=True)
class _Target:
    """The files of one download, side by side."""

    path: Path

    @property
    def part(self) -> Path:
        """What has arrived so far."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def etag(self) -> Path:
        """Which version of the file `part` is a piece of."""
        return self.path.with_name(f"{self.path.name}.part.etag")

    @property
    def checksum(self) -> Path:
        """The finished file's SHA-256, as `sha256sum` writes it."""
        return self.path.with_name(f"{self.path.name}.sha256")


def fetch(url: str, folder: Path, pause: float = 1.0) -> Path:
    """The file at `url`, from `folder` if it is there and whole.

    Args:
        url: an address with http or https; its last part names the file.
        folder: where the file is kept, with its checksum beside it; a broken download stays there as `NAME.part`.
        pause: seconds before the second attempt; doubles with each that brings nothing.

    Raises:
        InputError: the file can't be fetched, or was changed after it was.
        DiskError: it can't be written.
    """
    address = urlsplit(url)
    name = Path(unquote(address.path)).name
    if address.scheme not in ("http", "https") or not name:
        raise InputError(f"{url} is not the http(s) address of a file")
    target = _Target(folder / name)
    if target.path.exists():
        _check(target)
        return target.path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _log.info("downloading %s to %s", url, folder)
        _attempt_often(url, target, pause)
        _publish(target)
    except OSError as error:
        raise DiskError(f"the download can't be kept in {folder}: {error.strerror or error}") from error
    return target.path


def _check(target: _Target) -> None:
    checksum = _sha256(target.path)
    if not target.checksum.exists():  # the user has put the file here
        target.checksum.write_text(f"{checksum}  {target.path.name}\n")
    elif target.checksum.read_text().split()[:1] != [checksum]:
        raise InputError(
            f"{target.path} is not what was downloaded (its SHA-256 differs from {target.checksum}): "
            "delete both to download it again, or pass --input PATH to read it as it is"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _publish(target: _Target) -> None:
    """The checksum comes first, so that a file which is there can always be checked."""
    with target.part.open("rb+") as stream:
        os.fsync(stream.fileno())
    target.checksum.write_text(f"{_sha256(target.part)}  {target.path.name}\n")
    target.part.replace(target.path)
    target.etag.unlink(missing_ok=True)


def _attempt_often(url: str, target: _Target, pause: float) -> None:
    failures = 0
    while True:
        before = _size(target.part)
        try:
            _attempt(url, target)
        except _InterruptedError as error:
            failures = failures + 1 if _size(target.part) <= before else 1
            if failures >= _ATTEMPTS:
                raise _unreachable(url, str(error)) from error
            _log.warning("the download of %s broke off (%s): going on", url, error)
            time.sleep(pause * 2 ** (failures - 1))
        else:
            return


def _attempt(url: str, target: _Target) -> None:
    """Asks for what is missing and appends it; starts over if the file has changed meanwhile."""
    etag = target.etag.read_text() if target.etag.exists() else ""
    start = _size(target.part) if etag else 0
    headers = {"Range": f"bytes={start}-", "If-Range": etag} if start else {}
    request = urllib.request.Request(url, headers={"User-Agent": "curation", **headers})  # noqa: S310 - checked in fetch
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
            _receive(response, target, start if response.status == 206 else 0)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is longer than the file has become
            target.part.unlink(missing_ok=True)
        elif error.code not in _GONE_FOR_NOW:
            raise _unreachable(url, f"HTTP {error.code} {error.reason}") from error
        raise _InterruptedError(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _InterruptedError(str(error.reason)) from error


def _receive(response: HTTPResponse, target: _Target, start: int) -> None:
    total = _total(response.headers, start)
    version = response.headers.get("ETag") or ""
    target.etag.write_text("" if version.startswith("W/") else version)  # a weak tag can't prove equal bytes
    with target.part.open("rb+" if start else "wb") as stream:
        stream.seek(start)
        while block := _next_block(response):
            stream.write(block)
        stream.truncate()
        size = stream.tell()
    if total is not None and size != total:
        raise _InterruptedError(f"{size} of {total} bytes arrived")


def _next_block(response: HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, HTTPException) as error:
        raise _InterruptedError(str(error) or type(error).__name__) from error


def _total(headers: HTTPMessage, start: int) -> int | None:
    """The whole file's size in bytes, where the server says it."""
    rest = headers.get("Content-Length")
    return None if rest is None else start + int(rest)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _unreachable(url: str, reason: str) -> InputError:
    return InputError(
        f"{url} can't be downloaded ({reason}). What has arrived is kept: the same command goes on with it. "
        "Without a network, download the file yourself and pass --input PATH"
    )
