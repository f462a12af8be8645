"""Projects that embed a varied value show that the variation is applied and reported. Normal builds embed none."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from wheelworks.reproduce.variations import VARIATIONS, Variation

from tests.fixtures import leaks, tools
from tests.fixtures.commands import Ended, wheelworks

pytestmark = [pytest.mark.integration, pytest.mark.needs("gcc")]

ONE = ("--target", "manylinux_2_17_x86_64", "--abi", "cp311-abi3")
EMBEDS = "return PyUnicode_FromString(SEED);"
BINARY = "sample.abi3.so"
# These need something that no package installs: a second CPython, unprivileged namespaces or a second core.
HOSTS_OWN = ("Python 3.11", "file order", "cores")
NO_SEED = '("SEED", \'"none"\')'


def reproduced(archive: Path, cache: Path, vary: Sequence[str] = ()) -> Ended:
    words = [word for name in vary for word in ("--vary", name)]
    return wheelworks("reproduce", archive, "--verbose", *ONE, *words, cache=cache, seconds=900)


def causes(err: str) -> dict[str, dict[str, str]]:
    """Return the members that each cause changes, with the location and the values of the differences."""
    found: dict[str, dict[str, str]] = {}
    for line in err.splitlines():
        if cause := re.fullmatch(r"error: (.*)", line):
            current = found.setdefault(cause[1], {})
        elif member := re.fullmatch(r" {4}(\S.*?): (.*)", line):
            current[member[1]] = "\n".join(filter(None, [current.get(member[1]), member[2]]))
    return found


@pytest.fixture(scope="module")
def blamed(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> dict[str, dict[str, str]]:
    """The reported causes for a project that embeds all varied values in its files, and one in its binary."""
    embedded = {name: value for name, (_, value) in leaks.EMBEDDED.items()}
    place = tmp_path_factory.mktemp("leaks") / "p"
    project = leaks.project(place, {**leaks.LEAKS, **embedded}, '("SEED", \'"uid %05d"\' % os.getuid())', EMBEDS)
    ended = reproduced(leaks.sdist(project), wheelworks_cache)
    assert ended.status == 1
    return causes(ended.err)


@pytest.mark.parametrize("one", VARIATIONS, ids=lambda one: one.name)
def test_every_variation_is_named_by_what_embeds_it(one: Variation, blamed: dict[str, dict[str, str]]) -> None:
    needed(one)
    embedded = {leaks.member(name) for name, (cause, _) in leaks.EMBEDDED.items() if cause == one.name}
    binary = {BINARY} if one.name == "user" else set()
    assert set(blamed[one.name]) == {leaks.member(one.name)} | embedded | binary


def needed(one: Variation) -> None:
    """Skip a variation that this host can't apply; with --all-tools, fail if .ci/packages lists what it needs."""
    if why := one.check():
        if one.name in HOSTS_OWN or sys.platform != "linux":
            pytest.skip(f"{one.name}: {why}")
        tools.unavailable(f"{one.name}: {why}", "what .ci/packages lists")


def test_nothing_else_is_named(blamed: dict[str, dict[str, str]]) -> None:
    assert blamed.keys() == {one.name for one in VARIATIONS if not one.check()}


def test_both_values_are_shown(blamed: dict[str, dict[str, str]]) -> None:
    assert blamed["user"][leaks.member("user")] == rf"line 1: '{os.getuid()}\n' | '4321\n'"
    # The linker sorts strings, so the second value may be a different string.
    assert re.search(rf"section \.rodata\S*, offset 0x[0-9a-f]+: 'uid {os.getuid():05d}' \| ", blamed["user"][BINARY])


def test_the_time_of_the_build_is_attributed_to_the_clock(tmp_path: Path, wheelworks_cache: Path) -> None:
    project = leaks.project(tmp_path / "p", {"time": "time.time()"}, NO_SEED, EMBEDS)
    ended = reproduced(leaks.sdist(project), wheelworks_cache, ["hash seed"])
    assert ended.status == 1
    assert {name: set(members) for name, members in causes(ended.err).items()} == {
        "clock: the bytes contain the time of the build": {leaks.member("time")}
    }


def test_nondeterminism_is_distinguished_from_variations(tmp_path: Path, wheelworks_cache: Path) -> None:
    project = leaks.project(tmp_path / "p", {"chance": "random.random()"}, NO_SEED, EMBEDS)
    ended = reproduced(leaks.sdist(project), wheelworks_cache, ["hash seed"])
    assert ended.status == 1
    assert {name: set(members) for name, members in causes(ended.err).items()} == {
        "nondeterministic: builds in the same environment differ": {leaks.member("chance")}
    }


def test_the_hermetic_environment_hides_all_variations(tmp_path: Path, wheelworks_cache: Path) -> None:
    """A build that reads these values in the usual ways gets the same values in every environment."""
    asked = {
        "time zone": "(time.tzname, time.strftime('%c', time.localtime(0)))",
        "locale": "(os.environ['LC_ALL'], __import__('locale').setlocale(__import__('locale').LC_ALL, ''))",
        "hash seed": "{'a', 'b', 'c', 'd', 'e'}",
        "umask": "oct(os.umask(0o22))",
        "noise": "[os.environ.get(name) for name in ('CFLAGS', 'LDFLAGS', 'ARCHFLAGS', 'NOISE', 'MAX_JOBS', 'USER')]",
        "epoch": "os.environ['SOURCE_DATE_EPOCH']",
    }
    source = 'return PyUnicode_FromString(__FILE__ " " __DATE__ " " __TIME__ SEED);'
    project = leaks.project(tmp_path / "p", asked, NO_SEED, source)
    ended = reproduced(leaks.sdist(project), wheelworks_cache)
    assert ended.status == 0, ended.err
    assert causes(ended.err) == {}
    for one in VARIATIONS:
        assert one.name in " ".join(ended.out.split())
