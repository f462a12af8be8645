"""A release's wheels, fetched from an index that pip's configuration names: a real server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from wheelworks.core import index
from wheelworks.core.errors import UsageError, WheelworksError

from tests.fixtures import indexes
from tests.fixtures.indexes import Server
from tests.fixtures.wheels import wheel


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with indexes.serving() as served:
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_CERT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", served.address)
        yield served


def test_every_wheel_of_the_release_and_no_other(server: Server, tmp_path: Path) -> None:
    wanted = [wheel(tmp_path / "w"), wheel(tmp_path / "w", "cp311-abi3-win32")]
    server.listing(*wanted, wheel(tmp_path / "w", version="1.1"))
    assert [path.name for path in index.fetch("sample==1.0", tmp_path)] == sorted(path.name for path in wanted)
    assert all((tmp_path / path.name).read_bytes() == path.read_bytes() for path in wanted)
    assert server.asked["/simple/sample/"]["Accept"] == index.JSON


def test_a_name_and_password_in_the_address_are_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", server.address.replace("//", "//me:p%40ss@"))
    server.listing(wheel(tmp_path / "w"))
    assert len(index.fetch("Sample==1.0", tmp_path)) == 1
    assert server.asked["/simple/sample/"]["Authorization"] == "Basic bWU6cEBzcw=="


def test_the_extra_index_is_asked_too(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", server.address.replace("/simple", "/empty"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"file:///nowhere {server.address}")
    server.listing(wheel(tmp_path / "w"))
    assert len(index.fetch("sample==1.0", tmp_path)) == 1


def test_bytes_of_another_hash_are_refused(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"), digest="0" * 64)
    with pytest.raises(WheelworksError, match="aren't those that the index names by hash"):
        index.fetch("sample==1.0", tmp_path)
    assert list(tmp_path.glob("*.whl")) == []


def test_a_release_without_wheels(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    for word in ("sample==2.0", "other==1.0"):
        with pytest.raises(UsageError, match=f"{word}: the index has no file of it"):
            index.fetch(word, tmp_path)


@pytest.mark.parametrize("page", [b"<html>", b"[]", b'{"files": [{}]}', b'{"files": 3}'])
def test_an_index_that_speaks_otherwise(page: bytes, server: Server, tmp_path: Path) -> None:
    server.pages["/simple/sample/"] = page
    with pytest.raises(WheelworksError, match="can't be asked: it doesn't speak the JSON form"):
        index.fetch("sample==1.0", tmp_path)


def test_the_sdist_is_a_file_of_the_release_and_no_wheel(server: Server, tmp_path: Path) -> None:
    sdist = tmp_path / "sample-1.0.tar.gz"
    sdist.write_bytes(b"sdist")
    server.listing(wheel(tmp_path / "w"), sdist)
    assert [file.name for file in index.files("sample==1.0")] == [path.name for path in (tmp_path / "w").iterdir()] + [
        sdist.name
    ]
    assert [path.suffix for path in index.fetch("sample==1.0", tmp_path)] == [".whl"]
    server.listing(sdist)
    with pytest.raises(UsageError, match=r"sample==1\.0: the index has no wheel of it"):
        index.fetch("sample==1.0", tmp_path)


def test_what_lies_beside_a_file(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    (file,) = index.files("sample==1.0")
    assert index.beside(file, "more.json") is None
    server.pages["/files/more.json"] = b"{}"
    assert index.beside(file, "more.json") == b"{}"


def test_a_file_that_is_listed_but_not_there(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    server.pages = {"/simple/sample/": server.pages["/simple/sample/"]}
    with pytest.raises(WheelworksError, match="can't be asked: 404"):
        index.fetch("sample==1.0", tmp_path)


def test_a_file_name_never_leaves_the_folder(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    page = server.pages["/simple/sample/"].replace(b'"filename": "', b'"filename": "../../')
    server.pages["/simple/sample/"] = page
    with pytest.raises(UsageError, match="no file of it"):
        index.fetch("sample==1.0", tmp_path)


def test_an_index_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(WheelworksError, match=r"the package index at 127\.0\.0\.1 can't be asked"):
        index.fetch("sample==1.0", tmp_path)


def test_pips_own_default_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert index.indexes({"extra-index-url": "file:///x"})[0].startswith("https://")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("tornado==6.6.1", True),
        ("a.b-c==1.0rc1", True),
        ("dist", False),
        ("tornado", False),
        ("./a==1", False),
        ("-==1", False),
        ("a==!", False),
        ("a==1.*", False),
        ("==1", False),
        ("a==", False),
    ],
)
def test_what_names_a_release(word: str, expected: bool) -> None:
    assert index.is_requirement(word) is expected
