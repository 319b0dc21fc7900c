"""Downloads from a real server on the loopback, which breaks off, changes the file, or refuses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from curation.core.errors import DiskError, InputError
from curation.sources._download import fetch
from curation.sources.law_stackexchange import LawStackexchange
from tests.sources.helpers import rows

BODY = bytes(range(256)) * 4096


class Server(ThreadingHTTPServer):
    """Serves `body` under every path.

    Attributes:
        cut: how many bytes each reply sends before the connection dies, one after another; then whole replies.
        statuses: what to answer first, one after another, instead of the file.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag = '"v1"'
        self.ranges = True
        self.cut: list[int] = []
        self.statuses: list[int] = []
        self.seen: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/data%20set.json"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.seen.append(wanted)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        start = 0
        if wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(server.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(server.body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        self.end_headers()
        end = start + server.cut.pop(0) if server.cut else len(server.body)
        self.wfile.write(server.body[start:end])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once_and_checked_when_used_again(server: Server, tmp_path: Path) -> None:
    path = fetch(server.url, tmp_path / "raw")
    assert path.read_bytes() == BODY
    assert names(tmp_path / "raw") == ["data set.json", "data set.json.sha256"]
    assert (tmp_path / "raw" / "data set.json.sha256").read_text().split()[0] == hashlib.sha256(BODY).hexdigest()
    assert fetch(server.url, tmp_path / "raw") == path
    assert server.seen == [None]
    path.write_bytes(b"other")
    with pytest.raises(InputError, match=r"SHA-256 differs.*delete both"):
        fetch(server.url, tmp_path / "raw")


def test_a_broken_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut = [1000, 0, 500, 0, 0]
    assert fetch(server.url, tmp_path, pause=0).read_bytes() == BODY
    assert server.seen == [None, *["bytes=1000-"] * 2, *["bytes=1500-"] * 3]


def test_a_later_command_goes_on_with_the_part(server: Server, tmp_path: Path) -> None:
    server.cut = [1000, 0, 0, 0]
    with pytest.raises(InputError, match=r"1000 of 1048576 bytes arrived.*pass --input PATH"):
        fetch(server.url, tmp_path, pause=0)
    assert (tmp_path / "data set.json.part").read_bytes() == BODY[:1000]
    assert fetch(server.url, tmp_path, pause=0).read_bytes() == BODY
    assert server.seen[-1] == "bytes=1000-"
    assert names(tmp_path) == ["data set.json", "data set.json.sha256"]


def test_a_changed_file_is_fetched_from_the_start(server: Server, tmp_path: Path) -> None:
    server.cut = [1000, 0, 0, 0]
    with pytest.raises(InputError):
        fetch(server.url, tmp_path, pause=0)
    server.etag, server.body = '"v2"', b"new" * 200  # shorter than the part
    assert fetch(server.url, tmp_path, pause=0).read_bytes() == b"new" * 200


@pytest.mark.parametrize("etag", ['W/"weak"', ""])
def test_without_a_strong_tag_a_part_is_not_trusted(server: Server, tmp_path: Path, etag: str) -> None:
    server.etag, server.cut = etag, [1000]
    assert fetch(server.url, tmp_path, pause=0).read_bytes() == BODY
    assert server.seen == [None, None]


def test_a_server_without_ranges_sends_everything_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cut = False, [1000]
    assert fetch(server.url, tmp_path, pause=0).read_bytes() == BODY


def test_a_part_beyond_the_end_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data set.json.part").write_bytes(BODY + b"more")
    (tmp_path / "data set.json.part.etag").write_text('"v1"')
    assert fetch(server.url, tmp_path, pause=0).read_bytes() == BODY


def test_refusals_are_told_with_the_way_out(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(InputError, match=r"HTTP 404.*--input PATH"):
        fetch(server.url, tmp_path, pause=0)
    assert len(server.seen) == 1
    server.statuses = [503, 429]
    assert fetch(server.url, tmp_path, pause=0).read_bytes() == BODY


def test_no_server_and_no_address(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Connection refused.*Without a network"):
        fetch("http://127.0.0.1:9/x.json", tmp_path, pause=0)
    for url in ("file:///etc/passwd", "http://127.0.0.1/", "x.json"):
        with pytest.raises(InputError, match="not the http"):
            fetch(url, tmp_path)


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="can't be kept"):
        fetch(server.url, tmp_path / "file")


def test_a_file_that_the_user_put_there_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data set.json").write_bytes(b"mine")
    assert fetch(server.url, tmp_path).read_bytes() == b"mine"
    assert server.seen == []


def test_the_source_downloads_what_no_path_names(server: Server, tmp_path: Path) -> None:
    server.body = b'[{"question_id": 1, "question_title": "T", "question_body": "Q", "score": 1, "answers": []}]'
    source = LawStackexchange(url=server.url, download_dir=str(tmp_path))
    assert [row["id"] for row in rows(source)] == ["data set-qa-1"]
    assert source.fingerprint() == source.fingerprint()
    assert len(server.seen) == 1
