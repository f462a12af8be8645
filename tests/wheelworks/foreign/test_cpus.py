import sys
from pathlib import Path

import pytest
from wheelworks.core.errors import UsageError
from wheelworks.foreign.cpus import CPUS, Cpu, binfmt_rule, elf_header, find_cpu, is_host


def matches(header: bytes, cpu: Cpu) -> bool:
    """Return whether a CPU's binfmt_misc rule matches a header, with the kernel's comparison."""
    magic, mask = elf_header(cpu)
    return all(ours & bits == theirs & bits for ours, theirs, bits in zip(magic, header, mask, strict=True))


def test_either_name_finds_a_cpu() -> None:
    for cpu in CPUS:
        assert find_cpu(cpu.name) is find_cpu(cpu.debian) is cpu


def test_an_unknown_cpu_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="m68k") as caught:
        find_cpu("m68k")
    assert "aarch64" in caught.value.hint


def test_this_pythons_header_matches_this_cpu_only() -> None:
    header = Path(sys.executable).read_bytes()[:20]
    assert [cpu for cpu in CPUS if matches(header, cpu)] == [cpu for cpu in CPUS if is_host(cpu)]


@pytest.mark.parametrize("cpu", CPUS, ids=lambda cpu: cpu.name)
@pytest.mark.parametrize("kind", [2, 3], ids=["fixed", "movable"])
def test_headers_of_one_cpu_match_no_other(cpu: Cpu, kind: int) -> None:
    order = "big" if cpu.big_endian else "little"
    header = bytearray(elf_header(cpu)[0])
    header[7] = 3  # ELFOSABI_LINUX
    header[16:18] = kind.to_bytes(2, order)  # type: ignore[arg-type]
    assert [other for other in CPUS if matches(bytes(header), other)] == [cpu]


def test_a_shared_core_file_does_not_match() -> None:
    header = bytearray(elf_header(CPUS[0])[0])
    header[16] = 4  # ET_CORE
    assert not matches(bytes(header), CPUS[0])


def test_the_rule_has_the_kernels_eight_fields() -> None:
    rule = binfmt_rule(find_cpu("s390x"), "/usr/bin/qemu")
    assert rule.split(":")[:4] == ["", "qemu-s390x-static", "M", ""]
    assert rule.split(":")[4].startswith("\\x7f\\x45\\x4c\\x46\\x02\\x02\\x01")
    assert rule.split(":")[6:] == ["/usr/bin/qemu", "FP"]
