import sys
from pathlib import Path

import pytest
from wheelworks.core.errors import UsageError
from wheelworks.foreign.machines import MACHINES, Machine, binfmt_rule, elf_header, find_machine, is_host


def matches(header: bytes, machine: Machine) -> bool:
    """What the kernel does with a rule's magic and mask."""
    magic, mask = elf_header(machine)
    return all(ours & bits == theirs & bits for ours, theirs, bits in zip(magic, header, mask, strict=True))


def test_either_name_finds_a_machine() -> None:
    for machine in MACHINES:
        assert find_machine(machine.cpu) is find_machine(machine.debian) is machine


def test_an_unknown_cpu_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="m68k") as caught:
        find_machine("m68k")
    assert "aarch64" in caught.value.hint


def test_this_pythons_header_matches_this_machine_alone() -> None:
    header = Path(sys.executable).read_bytes()[:20]
    assert [machine for machine in MACHINES if matches(header, machine)] == [m for m in MACHINES if is_host(m)]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.cpu)
@pytest.mark.parametrize("kind", [2, 3], ids=["fixed", "movable"])
def test_headers_of_one_machine_match_no_other(machine: Machine, kind: int) -> None:
    order = "big" if machine.big_endian else "little"
    header = bytearray(elf_header(machine)[0])
    header[7] = 3  # ELFOSABI_LINUX
    header[16:18] = kind.to_bytes(2, order)  # type: ignore[arg-type]
    assert [other for other in MACHINES if matches(bytes(header), other)] == [machine]


def test_a_shared_core_file_does_not_match() -> None:
    header = bytearray(elf_header(MACHINES[0])[0])
    header[16] = 4  # ET_CORE
    assert not matches(bytes(header), MACHINES[0])


def test_the_rule_has_the_kernels_eight_fields() -> None:
    rule = binfmt_rule(find_machine("s390x"), "/usr/bin/qemu")
    assert rule.split(":")[:4] == ["", "qemu-s390x-static", "M", ""]
    assert rule.split(":")[4].startswith("\\x7f\\x45\\x4c\\x46\\x02\\x02\\x01")
    assert rule.split(":")[6:] == ["/usr/bin/qemu", "FP"]
