"""Import official wheels of other projects, rewrapped, in a real CPython."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from wheelworks.foreign.rewrap.shims import System

from tests.wheelworks.foreign.rewrap import sites

pytestmark = pytest.mark.integration

WINDOWS, MACOS, INTEL = ("windows", "aarch64"), ("macos", "aarch64"), ("macos", "x86_64")
PLATFORMS = {
    WINDOWS: ("win_arm64",),
    MACOS: ("macosx_11_0_arm64", "macosx_10_13_universal2"),
    INTEL: ("macosx_10_13_x86_64", "macosx_10_9_x86_64", "macosx_10_15_x86_64", "macosx_10_12_x86_64"),
}
ESCAPE = """
import markupsafe
from markupsafe import _speedups
assert markupsafe._escape_inner is _speedups._escape_inner
assert str(markupsafe.escape("<a href='x'>&\\U0001f600" * 99)) == "&lt;a href=&#39;x&#39;&gt;&amp;\\U0001f600" * 99
print(_speedups.__file__)
"""

# Requirements (the first one's modules are all imported, those after it are what it needs) and a statement that runs
# the extension.
PROJECTS = {
    "lxml": (
        ["lxml==6.1.3"],
        """
from lxml import etree, html
tree = etree.fromstring("<a x='1'><b>text</b><b/></a>")
assert tree.xpath("//b[1]/text()") == ["text"] and tree.get("x") == "1"
assert etree.tostring(html.fromstring("<p>A<br>B")) == b"<p>A<br/>B</p>"
try:
    etree.fromstring("<a><b></a>")
except etree.XMLSyntaxError as error:
    assert error.lineno == 1 and "tag mismatch" in str(error), error
""",
    ),
    "orjson": (
        ["orjson==3.13.0"],
        """
import orjson
value = {"text": "\\u00e9\\U0001f600" * 9, "numbers": [1, -2.5, 2**53, None, True]}
assert orjson.loads(orjson.dumps(value)) == value
try:
    orjson.loads("[1, 2")
except orjson.JSONDecodeError as error:
    assert error.pos == 6 or error.lineno == 1
""",
    ),
    "pydantic_core": (
        ["pydantic_core==2.50.5", "typing_extensions"],
        """
from pydantic_core import SchemaValidator, ValidationError
validator = SchemaValidator({"type": "list", "items_schema": {"type": "int", "gt": 3}})
assert validator.validate_python(["4", 5]) == [4, 5]
try:
    validator.validate_json("[1, 5]")
except ValidationError as error:
    assert error.errors()[0]["type"] == "greater_than"
""",
    ),
    "msgpack": (
        ["msgpack==1.2.4"],
        """
import msgpack
value = [{"a": 1.5, "b": b"x" * 300}, -(2**63), 2**64 - 1, "text", None]
assert msgpack.unpackb(msgpack.packb(value)) == value and msgpack.Packer.__module__ == "msgpack._cmsgpack"
""",
    ),
    "cffi": (
        ["cffi==2.1.1", "pycparser"],
        """
import cffi, _cffi_backend
ffi = cffi.FFI()
ffi.cdef("struct point { int x; double y; };")
point = ffi.new("struct point *", {"x": 3, "y": 0.5})
assert (point.x, point.y, ffi.sizeof("struct point")) == (3, 0.5, 16)
ffi.cdef("double hypot(double, double); double _hypot(double, double);")
ffi.cdef("void qsort(void *, size_t, size_t, int (*)(const void *, const void *));")
if hasattr(_cffi_backend, "getwinerror"):  # compiled for Windows, where LoadLibrary knows no libm.so.6
    libc = ffi.dlopen("ucrtbase.dll")
    found = libc._hypot
else:
    libc, found = ffi.dlopen("libc.so.6"), ffi.dlopen("libm.so.6").hypot
assert found(3.0, 4.0) == 5.0
for number in range(300):
    add = ffi.callback("double(int, double, signed char, float)", lambda a, b, c, d: a + b + c + d + number)
    assert add(1, 2.5, -3, 0.25) == 0.75 + number
compare = ffi.callback(
    "int(void *, void *)", lambda one, other: ffi.cast("int *", one)[0] - ffi.cast("int *", other)[0]
)
numbers = ffi.new("int[]", [3, -1, 2, -7])
libc.qsort(numbers, 4, 4, compare)
assert list(numbers) == [-7, -1, 2, 3]
""",
    ),
    "cryptography": (
        ["cryptography==46.0.3", "cffi==2.1.1", "pycparser"],
        """
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
box = Fernet(Fernet.generate_key())
assert box.decrypt(box.encrypt(b"secret")) == b"secret"
digest = hashes.Hash(hashes.SHA256())
digest.update(b"abc")
assert digest.finalize().hex().startswith("ba7816bf8f01cfea414140de5dae2223")
key = ed25519.Ed25519PrivateKey.generate()
key.public_key().verify(key.sign(b"text"), b"text")
""",
    ),
    "sqlalchemy": (
        ["sqlalchemy==2.0.44", "typing_extensions"],
        """
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select
engine = create_engine("sqlite://")
table = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("name", String))
with engine.begin() as connection:
    table.metadata.create_all(connection)
    connection.execute(table.insert(), [{"name": "a"}, {"name": "b"}])
    assert [row.name for row in connection.execute(select(table).order_by(table.c.id))] == ["a", "b"]
""",
    ),
    "aiohttp": (
        [
            "aiohttp==3.14.5",
            "multidict",
            "yarl",
            "propcache",
            "frozenlist",
            "aiosignal",
            "aiohappyeyeballs",
            "attrs",
            "idna",
            "typing_extensions",
        ],
        """
from aiohttp._http_parser import HttpRequestParser
from aiohttp import http
assert http.HttpRequestParser is HttpRequestParser
import asyncio
from aiohttp.base_protocol import BaseProtocol
async def parse():
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
    messages, upgrade, tail = parser.feed_data(b"GET /a HTTP/1.1\\r\\nHost: b\\r\\n\\r\\n")
    assert messages[0][0].path == "/a" and messages[0][0].headers["Host"] == "b"
asyncio.run(parse())
""",
    ),
}
IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    print(name, flush=True)
"""


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, System, str, str], Path]:
    """Return a function that downloads the official wheel of a requirement for a system, a CPU and a Python."""

    @cache
    def download(requirement: str, system: System, cpu: str, python: str) -> Path:
        folder = tmp_path_factory.mktemp("official")
        return sites.download_wheel(requirement, PLATFORMS[system, cpu], python, folder, seconds=300)

    return download


@pytest.mark.parametrize(("system", "cpu"), PLATFORMS)
def test_markupsafe_escapes(
    system: System, cpu: str, official: Callable[[str, System, str, str], Path], tmp_path: Path
) -> None:
    python = sites.find_python(system, cpu)
    wheel = official("markupsafe==3.0.3", system, cpu, python.version)
    assert list(sites.lay_out(wheel, tmp_path, python)) == ["markupsafe._speedups"]
    ended = sites.run(python, tmp_path, ESCAPE)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == str(tmp_path / "markupsafe" / f"_speedups{python.suffix}")


@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize(("system", "cpu"), PLATFORMS)
def test_a_project_runs(
    system: System, cpu: str, project: str, official: Callable[[str, System, str, str], Path], tmp_path: Path
) -> None:
    """Import every module of a project's wheel, and use it."""
    python = sites.find_python(system, cpu)
    requirements, code = PROJECTS[project]
    laid_out = [sites.lay_out(official(one, system, cpu, python.version), tmp_path, python) for one in requirements]
    names = [name for name in laid_out[0] if "test" not in name]
    if not names:
        pytest.skip("no wheel with machine code")
    ended = sites.run(python, tmp_path, IMPORT_ALL + code, *names)
    assert (ended.returncode, ended.stdout.split()) == (0, names), ended.stderr
