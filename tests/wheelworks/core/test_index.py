"""Test fetching a release's wheels from the index in pip's configuration, with a server on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from wheelworks.core import index
from wheelworks.core.errors import UsageError, WheelworksError

from tests.fixtures import indexes
from tests.fixtures.indexes import Server
from tests.fixtures.wheels import wheel


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    """One server with one address, for which pip is asked once."""
    with indexes.serving() as running:
        yield running


@pytest.fixture
def server(served: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    served.pages, served.asked = {}, {}
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", served.address)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("WHEELWORKS_CACHE", str(tmp_path / "cache"))
    return served


def test_every_wheel_of_the_release_and_no_other(server: Server, tmp_path: Path) -> None:
    wanted = [wheel(tmp_path / "w"), wheel(tmp_path / "w", "cp311-abi3-win32")]
    server.listing(*wanted, wheel(tmp_path / "w", version="1.1"))
    assert [path.name for path in index.fetch_wheels("sample==1.0")] == sorted(path.name for path in wanted)
    fetched = {path.name: path.read_bytes() for path in index.fetch_wheels("sample==1.0")}
    assert fetched == {path.name: path.read_bytes() for path in wanted}
    assert server.asked["/simple/sample/"]["Accept"] == index.JSON


def test_a_name_and_password_in_the_address_are_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", server.address.replace("//", "//me:p%40ss@"))
    server.listing(wheel(tmp_path / "w"))
    assert len(index.fetch_wheels("Sample==1.0")) == 1
    assert server.asked["/simple/sample/"]["Authorization"] == "Basic bWU6cEBzcw=="


def test_the_extra_index_is_asked_too(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", server.address.replace("/simple", "/empty"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"file:///nowhere {server.address}")
    server.listing(wheel(tmp_path / "w"))
    assert len(index.fetch_wheels("sample==1.0")) == 1


def test_bytes_of_another_hash_are_refused(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"), digest="0" * 64)
    with pytest.raises(WheelworksError, match="do not have the hash that the index names"):
        index.fetch_wheels("sample==1.0")
    assert list((tmp_path / "cache").rglob("*.whl")) == []


def test_a_release_without_wheels(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    for word in ("sample==2.0", "other==1.0"):
        with pytest.raises(UsageError, match=f"{word}: the index has no file of it"):
            index.fetch_wheels(word)


@pytest.mark.parametrize("page", [b"<html>", b"[]", b'{"files": [{}]}', b'{"files": 3}'])
def test_an_index_that_speaks_otherwise(page: bytes, server: Server, tmp_path: Path) -> None:
    server.pages["/simple/sample/"] = page
    with pytest.raises(WheelworksError, match="cannot be read: it does not speak the JSON form"):
        index.fetch_wheels("sample==1.0")


def test_the_sdist_is_a_file_of_the_release_and_no_wheel(server: Server, tmp_path: Path) -> None:
    sdist = tmp_path / "sample-1.0.tar.gz"
    sdist.write_bytes(b"sdist")
    server.listing(wheel(tmp_path / "w"), sdist)
    assert [file.name for file in index.list_release("sample==1.0")] == [
        path.name for path in (tmp_path / "w").iterdir()
    ] + [sdist.name]
    assert [path.suffix for path in index.fetch_wheels("sample==1.0")] == [".whl"]
    server.listing(sdist)
    with pytest.raises(UsageError, match=r"sample==1\.0: the index has no wheel of it"):
        index.fetch_wheels("sample==1.0")


def test_what_lies_beside_a_file(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    (file,) = index.list_release("sample==1.0")
    assert index.read_beside(file, "more.json") is None
    server.pages["/files/more.json"] = b"{}"
    assert index.read_beside(file, "more.json") == b"{}"


def test_a_file_that_is_listed_but_not_there(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    server.pages = {"/simple/sample/": server.pages["/simple/sample/"]}
    with pytest.raises(WheelworksError, match="cannot be read: 404"):
        index.fetch_wheels("sample==1.0")


def test_a_file_name_never_leaves_the_folder(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    page = server.pages["/simple/sample/"].replace(b'"filename": "', b'"filename": "../../')
    server.pages["/simple/sample/"] = page
    with pytest.raises(UsageError, match="no file of it"):
        index.fetch_wheels("sample==1.0")


def test_an_index_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(WheelworksError, match=r"the package index at 127\.0\.0\.1 cannot be read"):
        index.fetch_wheels("sample==1.0")


def test_pips_own_default_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert index.list_indexes({"extra-index-url": "file:///x"})[0].startswith("https://")


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
    assert index.is_release(word) is expected


def test_a_section_for_download_wins_over_the_global_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pip download` does the same. `audit` once read only `global`, and so fetched other files than `reproduce`."""
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        f"[global]\nindex-url = http://127.0.0.1:9/simple\n[download]\nindex-url = {server.address}\n"
    )
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    server.listing(wheel(tmp_path / "w"))
    assert [path.suffix for path in index.fetch_release("sample==1.0")] == [".whl"]


def test_audit_and_reproduce_ask_the_same_client() -> None:
    """Two clients once disagreed about PIP_EXTRA_INDEX_URL and about the section `download` of pip.conf."""
    scripts = Path(index.__file__).parents[1]
    others = [path for path in scripts.rglob("*.py") if re.search(r"pypi_simple|urllib\.request", path.read_text())]
    assert [path.relative_to(scripts).as_posix() for path in others] == ["core/index.py"]


def test_a_configuration_without_an_index(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(WheelworksError, match="configured to ask no index"):
        index.list_release("sample==1.0")


def test_a_password_from_netrc_is_sent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    server.listing(wheel(tmp_path / "w"))
    index.list_release("sample==1.0")
    assert server.asked["/simple/sample/"]["Authorization"] == "Basic bWU6c2VjcmV0"


def test_a_file_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    first = index.fetch_wheels("sample==1.0")
    del server.pages[f"/files/{first[0].name}"]
    assert index.fetch_wheels("sample==1.0") == first


def test_metadata_is_read_beside_a_wheel(server: Server, tmp_path: Path) -> None:
    server.listing(wheel(tmp_path / "w"))
    (file,) = index.list_release("sample==1.0")
    assert index.read_metadata(file) == ""
    server.pages["/simple/sample/"] = server.pages["/simple/sample/"].replace(
        b'"url":', b'"core-metadata": true, "url":'
    )
    server.pages[f"/files/{file.name}.metadata"] = b"Name: sample\n"
    (file,) = index.list_release("sample==1.0")
    assert index.read_metadata(file) == "Name: sample\n"
