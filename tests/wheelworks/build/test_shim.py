"""Test the view of the target that the project's code has: what it answers, and what it refuses."""

from __future__ import annotations

import array
import ctypes
import json
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.build import crossenv, shim
from wheelworks.build.shim import c_types, layout, programs
from wheelworks.core import targets

pytestmark = pytest.mark.usefixtures("may_spawn")

ABI = targets.get_build_abi()
EVERY = targets.load_targets()
HOST = targets.find_host_target()


def layout_of(name: str) -> layout.Layout:
    return layout.Layout(**crossenv.describe_layout(targets.find_target(name)))


FORMATS = st.text(st.sampled_from("xcbB?hHiIlLqQnNfdspP0123456789 "), max_size=12).map(
    lambda text: text.rstrip("0123456789 ")
)


@pytest.mark.skipif(HOST is None, reason="the table has no row for this machine")
@settings(deadline=None)
@given(FORMATS, st.sampled_from(["", "@", "=", "<", ">", "!"]))
def test_struct_on_this_machines_target_is_its_own(text: str, order: str) -> None:
    assert HOST is not None
    translated = layout.translate_format(order + text, layout_of(HOST.id))
    try:
        expected = struct.calcsize(order + text)
    except struct.error:
        with pytest.raises(struct.error):
            struct.calcsize(translated)
        return
    assert struct.calcsize(translated) == expected


@pytest.mark.parametrize(
    ("target", "text", "size"),
    [
        ("win_arm64", "l", 4),
        ("win_amd64", "P", 8),
        ("win32", "P", 4),
        ("win32", "bq", 16),
        ("manylinux_2_17_i686", "bq", 12),
        ("manylinux_2_17_armv7l", "bq", 16),
        ("manylinux_2_17_armv7l", "n", 4),
        ("manylinux_2_17_s390x", "l", 8),
        ("macosx_11_0_arm64", "bl", 16),
        ("win_arm64", "bl", 8),
        ("win_arm64", "b0q", 8),
    ],
)
def test_struct_measures_the_targets_types(target: str, text: str, size: int) -> None:
    view = layout.make_struct_view(layout_of(target))
    assert view["calcsize"](text) == view["calcsize"](text.encode()) == view["Struct"](text).size == size


def test_struct_packs_in_the_targets_order() -> None:
    view = layout.make_struct_view(layout_of("manylinux_2_17_s390x"))
    assert view["pack"]("=h", 1) == view["pack"]("h", 1) == b"\0\1"
    assert view["pack"]("<h", 1) == b"\1\0" and view["unpack"]("P", b"\0" * 7 + b"\2") == (2,)


@pytest.mark.parametrize(
    ("target", "name", "size"),
    [
        ("win_arm64", "c_long", 4),
        ("win_arm64", "c_longlong", 8),
        ("win_arm64", "c_wchar", 2),
        ("win32", "c_void_p", 4),
        ("win32", "c_size_t", 4),
        ("win32", "c_int64", 8),
        ("win32", "c_double", 8),
        ("manylinux_2_17_i686", "c_longdouble", 12),
        ("macosx_11_0_arm64", "c_longdouble", 8),
        ("manylinux_2_17_s390x", "c_ulong", 8),
        ("manylinux_2_17_s390x", "c_int", 4),
    ],
)
def test_ctypes_measures_the_targets_types(target: str, name: str, size: int) -> None:
    view = c_types.make_ctypes_view(layout_of(target), "windows" if target.startswith("win") else "linux")
    kind = view.get(name, getattr(ctypes, name))
    assert view["sizeof"](kind) == view["sizeof"](kind()) == size
    assert view["sizeof"](kind * 3) == 3 * size


@pytest.mark.skipif(HOST is None, reason="the table has no row for this machine")
def test_ctypes_on_this_machines_target_is_its_own() -> None:
    assert HOST is not None
    view = c_types.make_ctypes_view(layout_of(HOST.id), HOST.os)
    for name in (name for name in dir(ctypes) if name.startswith("c_") and name != "c_buffer"):
        kind = view.get(name, getattr(ctypes, name))
        assert view["sizeof"](kind) == ctypes.sizeof(getattr(ctypes, name)), name
        if name != "c_longdouble":
            assert view["alignment"](kind) == ctypes.alignment(getattr(ctypes, name)), name
    assert view["sizeof"](ctypes.POINTER(ctypes.c_int)) == ctypes.sizeof(ctypes.c_void_p)


class Pair(ctypes.Structure):
    _fields_ = (("first", ctypes.c_int), ("second", ctypes.c_long))


@pytest.mark.parametrize(
    "ask",
    [
        lambda view: view["sizeof"](Pair),
        lambda view: view["sizeof"](ctypes.c_ulong),  # of ctypes.wintypes: this machine's
        lambda view: view["CDLL"](None),
        lambda view: view["windll"].kernel32,
        lambda view: view["pythonapi"].Py_GetVersion,
        lambda _: c_types.find_library("c"),
    ],
)
def test_what_is_not_known_of_the_target_is_refused(ask: Any) -> None:
    view = c_types.make_ctypes_view(layout_of("win_arm64"), "windows")
    with pytest.raises(RuntimeError, match="the project's build asks"):
        ask(view)


def test_libraries_of_others_are_not_there() -> None:
    assert c_types.find_library("sodium") is None


def test_array_refuses_items_of_another_size() -> None:
    made = c_types.make_array_view(layout_of("win_arm64"))["array"]
    assert made("i", [1, 2]) == array.array("i", [1, 2])
    with pytest.raises(RuntimeError, match=r"array\.array\('l'\)"):
        made("l")


# --- in a Python of its own -------------------------------------------------------------------------------------------

QUESTIONS = """\
import ctypes, importlib, os, platform, struct, sys
from sys import maxsize
def ask():
    return {
        "byteorder": sys.byteorder, "maxsize": maxsize, "calcsize": struct.calcsize("P"), "long": struct.calcsize("l"),
        "sizeof": ctypes.sizeof(ctypes.c_void_p), "architecture": platform.architecture(), "mac": platform.mac_ver(),
        "windows": platform.win32_ver(), "libc": platform.libc_ver(), "machine": platform.uname().machine,
        "version": sys.version, "name": os.name, "has_uname": hasattr(os, "uname"), "platform": sys.platform,
        "getwindowsversion": hasattr(sys, "getwindowsversion") and sys.getwindowsversion().build,
        "import_module": importlib.import_module("platform").machine(), "dunder": __import__("platform").machine(),
        "text": eval("__import__('sys').byteorder"), "width": sys.hash_info.width, "tag": sys.implementation.cache_tag,
        "compiler": platform.python_compiler(),
    }
answers = ask()
scope = {}
exec("import sys\\norder = sys.byteorder", scope)
answers["exec"] = scope["order"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/questions.py").write_text(QUESTIONS, encoding="utf-8")
    return tmp_path


def run_hooked(project: Path, target: str, *words: str, cwd: str = "source") -> subprocess.CompletedProcess[str]:
    """Run a Python with the hooks of ``target``."""
    row = targets.find_target(target)
    hooks = project / f"hooks-{target}"
    if not hooks.exists():
        crossenv.write_shim(hooks, row, ABI, {}, project / "source", project / "log")
    env = {"PYTHONPATH": str(hooks), "WHEELWORKS_SHIM": str(hooks / "shim.json"), "PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, *words], cwd=project / cwd, env=env, capture_output=True, text=True, check=False
    )


def ask(project: Path, target: str) -> dict[str, Any]:
    text = "import json, questions; print(json.dumps(questions.answers))"
    ended = run_hooked(project, target, "-c", text)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_a_big_endian_target(project: Path) -> None:
    found = ask(project, "manylinux_2_17_s390x")
    assert [found[name] for name in ("byteorder", "text", "exec")] == ["big"] * 3
    assert (found["maxsize"], found["calcsize"], found["libc"]) == (2**63 - 1, 8, ["glibc", "2.17"])
    assert [found[name] for name in ("machine", "import_module", "dunder")] == ["s390x"] * 3
    assert "GCC" in found["version"] and found["has_uname"] and not found["getwindowsversion"]


def test_a_target_of_32_bits(project: Path) -> None:
    found = ask(project, "win32")
    assert (found["maxsize"], found["calcsize"], found["sizeof"], found["width"]) == (2**31 - 1, 4, 4, 32)
    assert found["architecture"] == ["32bit", "WindowsPE"] and "32 bit (Intel)" in found["version"]
    assert (found["name"], found["platform"], found["has_uname"]) == ("nt", "win32", False)
    assert found["getwindowsversion"] and found["windows"][0] == "10" and found["compiler"].startswith("MSC v.")


def test_a_target_with_apples_system(project: Path) -> None:
    found = ask(project, "macosx_11_0_arm64")
    assert found["mac"] == ["11.0", ["", "", ""], "arm64"] and found["architecture"] == ["64bit", ""]
    assert (found["long"], found["platform"], found["libc"]) == (8, "darwin", ["", ""])


def test_build_tools_see_the_host(project: Path) -> None:
    (project / "tools").mkdir()
    (project / "tools/tool.py").write_text(f"import json\n{QUESTIONS}print(json.dumps(answers))\n", encoding="utf-8")
    ended = run_hooked(project, "win32", str(project / "tools/tool.py"), cwd="tools")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["maxsize"] == sys.maxsize and found["platform"] == sys.platform
    assert found["machine"] == found["dunder"] == platform.machine() and found["name"] == os.name
    assert found["exec"] == sys.byteorder and found["sizeof"] == ctypes.sizeof(ctypes.c_void_p)


def test_questions_on_the_command_line_are_the_projects(project: Path) -> None:
    text = "import sys; print(sys.byteorder)"
    assert run_hooked(project, "manylinux_2_17_s390x", "-c", text).stdout == "big\n"
    (project / "elsewhere").mkdir()
    assert run_hooked(project, "manylinux_2_17_s390x", "-c", text, cwd="elsewhere").stdout == f"{sys.byteorder}\n"


def test_a_setup_script_that_is_started_again_sees_the_target(project: Path) -> None:
    """As by ``python setup.py build_ext``, and by a setup script of another folder of the project."""
    (project / "source/setup.py").write_text("import sys; print(sys.byteorder, sys.argv[1])", encoding="utf-8")
    for cwd in ("source", "."):
        script = str(project / "source/setup.py") if cwd == "." else "setup.py"
        assert run_hooked(project, "manylinux_2_17_s390x", script, "build_ext", cwd=cwd).stdout == "big build_ext\n"


def test_the_version_is_one_that_platform_parses() -> None:
    for target in EVERY:
        for abi in targets.load_abis():
            version = crossenv.describe_platform(target, abi)["version"]
            assert ("free-threading build " in version) is abi.free_threaded
            version = version.replace("free-threading build ", "")  # which Python 3.11 doesn't know
            assert platform._sys_version(version)[1] == f"{abi.python}.0"  # type: ignore[attr-defined]


# --- programs ---------------------------------------------------------------------------------------------------------

PE = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0\x64\xaa" + bytes(40)
ELF_S390X = b"\x7fELF\2\2\1" + bytes(9) + b"\0\2\0\x16" + bytes(40)
MACHO_ARM64 = b"\xcf\xfa\xed\xfe\x0c\0\0\1" + bytes(40)


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run([path])",
        "os.system(path)",
        "subprocess.run(path, shell=True)",
        "os.execv(path, [path])",
        "subprocess.run(['./probe'], cwd=os.path.dirname(path))",
        "os.system('cd ../source && ./probe || true')",
    ],
)
@pytest.mark.parametrize("program", [PE, ELF_S390X, MACHO_ARM64], ids=["PE", "ELF", "Mach-O"])
def test_a_program_of_the_target_is_not_run(start: str, program: bytes, project: Path) -> None:
    path = project / "source/probe"
    path.write_bytes(program)
    path.chmod(0o755)
    text = f"import os, subprocess; path = {str(path)!r}; {start}"
    ended = run_hooked(project, "manylinux_2_17_s390x", "-c", text)
    message = "a program that was compiled for manylinux_2_17_s390x can't be run on this machine"
    assert ended.returncode != 0 and message in ended.stderr
    [event] = [json.loads(line) for line in (project / "log").read_text().splitlines()]
    assert event["step"] == "run" and event["error"].startswith(message)


@pytest.mark.parametrize(
    ("command", "programs_"),
    [
        ("./probe -x", [("./probe", "")]),
        ("CC=cc ./probe && strip probe | cat", [("./probe", ""), ("strip", ""), ("cat", "")]),
        ("cd deep; (./probe>out)", [("cd", "deep"), ("./probe", "deep")]),
        ("'unfinished", []),
        (None, []),
    ],
)
def test_the_programs_of_a_shells_command(command: Any, programs_: list[tuple[str, str]]) -> None:
    assert programs.list_programs(command) == programs_


def test_programs_of_this_machine_are_run(project: Path) -> None:
    text = f"import subprocess, os; subprocess.run([{sys.executable!r}, '-c', 'print(5)']); os.system('echo 6 && true')"
    ended = run_hooked(project, "win_arm64", "-c", text)
    assert (ended.returncode, ended.stdout.split()) == (0, ["5", "6"]), ended.stderr
    assert not (project / "log").exists()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_file_is_taken_for_a_program(data: bytes) -> None:
    """No header makes reading it fail."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "program")
        path.write_bytes(data)
        found = programs.read_machine(str(path))
        assert found is None or data[:2] in (b"\x7fE", b"MZ", b"\xcf\xfa")
    assert programs.read_machine(folder) is None
    assert shim.is_project_code(None, folder) is False
