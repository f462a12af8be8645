"""Test hostile wheels: each is reported in findings, without a traceback, and within limits of time and memory."""

from __future__ import annotations

import json
import posixpath
import random
import struct
import sys
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.audit import archive, sdist, wheel, workers
from wheelworks.audit.inspection import inspect_wheel
from wheelworks.audit.policy import DEFAULT_POLICY
from wheelworks.audit.wheel import ArchiveEntry, AuditedWheel
from wheelworks.core.archive import Limits
from wheelworks.core.wheel import parse_wheel_name

from tests.fixtures import archives, binaries, wheels
from tests.fixtures.commands import wheelworks
from tests.fixtures.drafts import draft
from tests.wheelworks.audit import made

# This program runs a command and prints its CPU seconds and peak memory. It is a separate process for two reasons:
# RUSAGE_CHILDREN reports the peak of all children so far, and a child's peak starts at its parent's memory.
USED = """import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(status)"""


def codes(path: Path) -> set[str]:
    start = time.process_time()
    found = {finding.code for finding in inspect_wheel(path).findings}
    assert time.process_time() - start < 20
    return found


def bounded(path: Path, cache: Path) -> set[str]:
    """Audit a wheel in a separate process with less than 20 s of CPU time and 1 GiB of memory. Return the codes."""
    pytest.importorskip("resource")
    before = (sys.executable, "-c", USED)
    ended = wheelworks("audit", path, "--json", "--offline", cache=cache, before=before, seconds=200)
    seconds, peak = ended.err.split()[-2:]
    assert 0.1 < float(seconds) < 20 and 10 << 10 < int(peak) < 1 << 20, ended.err  # KiB
    [report] = json.loads(ended.out)["wheels"]
    return {one["code"] for one in report["findings"]}


def test_a_good_wheel_has_no_finding(tmp_path: Path) -> None:
    assert inspect_wheel(made.wheel(tmp_path)).findings == ()


def test_a_bomb_is_refused_unread(tmp_path: Path) -> None:
    path = archives.wheel(tmp_path / made.NAME, bomb=bytes(200 << 20))
    assert codes(path) == {"W002"}


def test_members_that_are_all_the_same_bytes_are_refused_unread(tmp_path: Path) -> None:
    path = archives.wheel(tmp_path / made.NAME, same=random.Random(1).randbytes(10_000))
    data = path.read_bytes()
    start, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    row, count = data[start:end], 50_000
    tail = struct.pack("<IHHHHIIH", 0x6054B50, 0, 0, count, count, len(row) * count, start, 0)
    path.write_bytes(data[:start] + row * count + tail)
    assert codes(path) == {"W002"}


def long(folder: Path, name: str, line: bytes, size: int) -> Path:
    """Write a wheel in which one metadata file has about `size` bytes."""
    texts = {f"{made.INFO}/{one}": b"" for one in ("METADATA", "WHEEL", "RECORD")}
    texts[f"{made.INFO}/{name}"] = line * (size // len(line))
    return archives.wheel(folder / made.NAME, noise=random.Random(1).randbytes(1 << 20), **texts)


LINES = {"METADATA": b"Requires-Dist: x\n", "WHEEL": b"Tag: py3-none-any\n", "entry_points.txt": b"[a]\nx=y:z\n"}


@pytest.mark.integration
@pytest.mark.parametrize("name", LINES)
def test_long_metadata_are_read_to_a_limit(name: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    assert "W002" not in bounded(long(tmp_path, name, LINES[name], 2 << 20), wheelworks_cache)
    assert "W002" in codes(long(tmp_path, name, LINES[name], (2 << 20) + len(LINES[name])))


@pytest.mark.parametrize("text", ["Requires-Python: " + ">=3," * 100_000, "Author-email: " + "a@" * 500_000])
def test_long_values_take_no_time(text: str, tmp_path: Path) -> None:
    codes(made.wheel(tmp_path, **{f"{made.INFO}/METADATA": f"{made.METADATA}{text}\n".encode()}))


def test_many_entry_points_and_modules_take_linear_time(tmp_path: Path) -> None:
    points = "[x]\n" + "".join(f"a{number} = m{number}:f\n" for number in range(20_000))
    more = {f"m{number}/x{number}.py": b"" for number in range(3_000)}
    assert "W043" in codes(made.wheel(tmp_path, **more, **{f"{made.INFO}/entry_points.txt": points.encode()}))


@pytest.mark.integration
@pytest.mark.parametrize("unit", ["a\n=\n\n", "* " * 4_000 + "\n\n", "`a <a_>`_ " * 900 + "\n\n"])
def test_descriptions_that_are_slow_to_render(unit: str, tmp_path: Path) -> None:
    text = f"{made.METADATA}Description-Content-Type: text/x-rst\n\n{unit * ((128 << 10) // len(unit))}"
    codes(made.wheel(tmp_path, **{f"{made.INFO}/METADATA": text.encode()}))


@pytest.mark.integration
def test_a_record_of_millions_of_rows_takes_no_more_memory_than_there_is(
    tmp_path: Path, wheelworks_cache: Path
) -> None:
    assert "W002" in bounded(long(tmp_path, "RECORD", b"a,,\n", 32 << 20), wheelworks_cache)


def test_a_bomb_that_lies_of_its_size_is_not_unpacked(tmp_path: Path) -> None:
    path = archives.lying(archives.wheel(tmp_path / made.NAME, bomb=bytes(50 << 20)), lambda _: 10)
    assert "W001" in codes(path)


@pytest.mark.integration
def test_a_hundred_thousand_members_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / made.NAME, "w") as archive:
        for number in range(100_000):
            archive.writestr(f"f{number}", b"")
    assert codes(tmp_path / made.NAME) == {"W002"}


def test_duplicate_names_are_reported_in_linear_time(tmp_path: Path) -> None:
    same = tuple(ArchiveEntry(f"x/{number % 50_000}", 0, 0) for number in range(100_000))
    start = time.process_time()
    found = list(archive.check_duplicates(AuditedWheel(made.NAME, parse_wheel_name(made.NAME), same, DEFAULT_POLICY)))
    assert len(found) == 50_000 and time.process_time() - start < 20


@pytest.mark.parametrize("name", ["../../a", "/abc/def", r"ab\..\cd", "C:/abcd", "a//bcde", "abc\0def"])
def test_names_that_escape_are_reported(name: str, tmp_path: Path) -> None:
    stand_in = "N" * len(name)
    path = archives.wheel(tmp_path / made.NAME, **{stand_in: b""})
    archives.renamed(path, stand_in.encode(), name.encode())
    assert "W004" in codes(path)
    assert [one.name for one in tmp_path.iterdir()] == [made.NAME]


def test_truncations_are_damage(tmp_path: Path) -> None:
    whole = made.wheel(tmp_path).read_bytes()
    for length in range(0, len(whole), 40):
        (tmp_path / made.NAME).write_bytes(whole[:length])
        assert codes(tmp_path / made.NAME) == {"W001"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=4)), max_size=8))
def test_mutated_wheels(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]]) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    path = made.wheel(folder)
    data = bytearray(path.read_bytes())
    for drawn, value in changes:
        place = drawn % len(data)
        data[place : place + len(value)] = value
    path.write_bytes(data)
    codes(path)


TEXTS = ["METADATA", "WHEEL", "RECORD", "entry_points.txt", "sboms/x.json", "top_level.txt", "../sample.pth"]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(TEXTS), st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_any_text_in_dist_info(tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes) -> None:
    member = posixpath.normpath(f"{made.INFO}/{name}")
    codes(made.wheel(tmp_path_factory.mktemp("text"), **{member: data}))


@pytest.mark.parametrize(
    "data",
    [b"MZ", b"MZ" + bytes(200), b"\x7fELF", b"\x7fELF" + b"\xff" * 200, b"\xca\xfe\xba\xbe\0\0\0\x05" + b"\xff" * 99],
)
def test_what_only_begins_like_a_binary_is_reported(data: bytes, tmp_path: Path) -> None:
    assert {"W104", "W119"} <= codes(made.wheel(tmp_path, **{"sample/x.so": data}))


def test_a_binary_beyond_the_limit_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "LARGEST_BINARY", 10)
    assert "W120" in codes(made.wheel(tmp_path, **{"sample/x.so": b"\x7fELF" + bytes(100)}))


def test_metadata_beyond_the_limit_are_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "_LARGEST_TEXT", len(made.METADATA) - 1)
    assert "W002" in codes(made.wheel(tmp_path))


def test_more_bytes_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "LIMITS", Limits(size=100))
    assert codes(made.wheel(tmp_path)) == {"W002"}


def test_a_file_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    for name in (made.NAME, "sample-1.0.tar.gz"):
        (tmp_path / name).mkdir()
        audit = sdist.inspect_sdist(tmp_path / name) if name.endswith(".gz") else inspect_wheel(tmp_path / name)
        assert [(one.code, one.evidence) for one in audit.findings] == [("W001", "Is a directory")]


def test_a_reader_that_runs_out_of_memory_keeps_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def use_all_memory(*_: object) -> None:
        raise MemoryError

    path = made.wheel(tmp_path, **{"sample/x.pyc": b""})
    monkeypatch.setattr(wheel, "read_members", use_all_memory)
    assert [one.code for one in inspect_wheel(path).findings] == ["W013", "W002"]


def test_a_reader_that_dies_costs_its_wheel_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = [made.wheel(tmp_path), tmp_path / "other-1.0-py3-none-any.whl"]
    good[1].write_bytes(good[0].read_bytes())
    dying = tmp_path / "dying-1.0-py3-none-any.whl"
    dying.write_bytes(b"")
    bad = "import os, sys, wheelworks.audit.inspection as i; real = i.inspect_wheel\n"
    bad += "def inspect(p, q): return os.abort() if 'dying' in p.name else real(p, q)\n"
    bad += "i.inspect_wheel = inspect; sys.exit(i.main())"
    monkeypatch.setattr(workers, "WORKER", [sys.executable, "-c", bad])
    reports = workers.audit_files([good[0], dying, good[1]], DEFAULT_POLICY, lambda _: None)
    assert [report.file for report in reports] == [good[0].name, dying.name, good[1].name]
    assert [one.code for one in reports[1].findings] == ["W001"] and "signal 6" in reports[1].findings[0].evidence
    assert reports[0].findings == () and {one.code for one in reports[2].findings} == {"W018"}


def test_a_reader_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WORKER", [sys.executable, "-c", "import time; time.sleep(60)"])
    [report] = workers.audit_files([made.wheel(tmp_path)], DEFAULT_POLICY, lambda _: None, seconds=1)
    assert "did not end within 1 s" in report.findings[0].evidence


@pytest.mark.integration
@pytest.mark.parametrize("base", ["win_arm64", "macos_arm64", "linux_x86_64"])
def test_cut_and_mutated_binaries(base: str, ours: dict[str, Path], tmp_path: Path) -> None:
    whole = draft(ours[base])
    data = whole.members[whole.extension].data

    def audit(made_bad: bytes) -> None:
        one = draft(ours[base])
        one.edit(lambda _: made_bad)
        codes(one.write(tmp_path))

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def mutate(drawn: st.DataObject) -> None:
        made_bad = bytearray(data[: drawn.draw(st.integers(0, len(data)))])
        places = st.integers(0, max(0, min(len(made_bad) - 1, 2000)))
        for place in drawn.draw(st.lists(places, max_size=6)) if made_bad else ():
            made_bad[place] = drawn.draw(st.integers(0, 255))
        audit(bytes(made_bad))

    audit(data[:124] + b"\0" + data[125:240])  # when this is PE, LIEF raises SystemError
    mutate()


@pytest.mark.integration
def test_a_wheel_of_a_gigabyte_takes_less_than_one(tmp_path: Path, wheelworks_cache: Path) -> None:
    pytest.importorskip("resource")
    block = random.Random(1).randbytes(1 << 20)
    with zipfile.ZipFile(tmp_path / made.NAME, "w", zipfile.ZIP_STORED) as archive:
        for number in range(5):
            with archive.open(f"sample/data{number}.bin", "w", force_zip64=True) as file:
                for piece in range(205):
                    file.write(struct.pack("<Q", piece) + block[8:])
    assert (tmp_path / made.NAME).stat().st_size > 1 << 30
    found = bounded(tmp_path / made.NAME, wheelworks_cache)
    assert "W008" in found and "W001" not in found


# x86 code: an instruction and an invalid byte; invalid bytes only; instructions only.
CODE = {"holes": b"\x90\x06", "nothing": b"\x06\x06", "instructions": b"\x90\x90"}


@pytest.mark.integration
@pytest.mark.parametrize("kind", CODE)
def test_slow_code_is_read_in_part_and_reported(kind: str, tmp_path: Path, wheelworks_cache: Path) -> None:
    data = binaries.elf(CODE[kind] * (8 << 20))
    path = wheels.wheel(tmp_path, "cp311-abi3-manylinux_2_17_x86_64", {"sample/x.abi3.so": data})
    assert "W203" in bounded(path, wheelworks_cache)


def claimed_often() -> bytes:
    """Return a small PE file whose import table has 100,000 entries that all claim the same 5,000 names."""
    code = bytearray(b"\xc3".ljust(64, b"\0") + b"kernel32.dll".ljust(64, b"\0") + b"\0\0Function".ljust(64, b"\0"))
    code += struct.pack("<Q", 0x1080) * 5_000 + bytes(8)
    table = 0x1000 + len(code)
    code += struct.pack("<IIIII", 0x10C0, 0, 0, 0x1040, 0x10C0) * 100_000 + bytes(20)
    data = binaries.pe(bytes(code), struct.pack("<III", 0x1000, 0x1001, 0))
    return binaries.put(data, binaries.pe_place(data) + 20 + 120, struct.pack("<II", table, 100_001 * 20))


@pytest.mark.integration
def test_sections_that_all_claim_the_same_bytes(tmp_path: Path, wheelworks_cache: Path) -> None:
    data = binaries.elf(b"\x90\x06" * (8 << 20), sections=65_000)
    path = wheels.wheel(tmp_path, "cp311-abi3-manylinux_2_17_x86_64", {"sample/x.abi3.so": data})
    assert "W119" in bounded(path, wheelworks_cache)


@pytest.mark.integration
def test_imports_that_all_claim_the_same_names(tmp_path: Path, wheelworks_cache: Path) -> None:
    path = wheels.wheel(tmp_path, "cp311-abi3-win_amd64", {"sample/x.pyd": claimed_often()})
    assert "W002" in bounded(path, wheelworks_cache)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from LIEF; only pytest makes it an error
def test_halves_that_are_the_whole_again(tmp_path: Path) -> None:
    """LIEF returns a CPU type for these slices that it has no name for."""
    data = b"\xca\xfe\xba\xbe" + struct.pack(">I", 16) + struct.pack(">IIIII", 0x100000C, 0, 0, 1 << 16, 12) * 16
    path = wheels.wheel(tmp_path, "cp311-abi3-macosx_11_0_arm64", {"sample/x.abi3.so": data + bytes(1 << 16)})
    assert codes(path) & {"W101", "W119"}
