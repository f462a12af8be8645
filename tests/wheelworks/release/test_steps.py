"""The release steps: finished steps are not repeated, changed files are detected, and the attestation is valid."""

from __future__ import annotations

import shutil
import string
import urllib.parse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from wheelworks.core.errors import WheelworksError
from wheelworks.core.files import hash_file
from wheelworks.release import steps
from wheelworks.release.steps import Release, ReleaseStep
from wheelworks.reproduce import provenance
from wheelworks.reproduce.rebuild import Selection

from tests.fixtures import projects
from tests.fixtures.commands import ROOT, wheelworks
from tests.wheelworks.manifests import manifest_of

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, wheelworks_cache: Path) -> Path:
    """This project's wheel for Windows on ARM64."""
    out = tmp_path_factory.mktemp("built")
    words = ("build-wheels", ".", "--no-run", "--target", "win_arm64", "--abi", "cp311-abi3", "--out", out)
    ended = wheelworks(*words, cache=wheelworks_cache)
    assert ended.status == 0, ended.err
    (wheel,) = out.glob("*.whl")
    return wheel


def writes(name: str, calls: list[str]) -> ReleaseStep:
    def run(release: Release) -> None:
        calls.append(name)
        (release.dist / name).write_text(f"{name} of {release.version}")

    return ReleaseStep(name, name, run, lambda release: [release.dist / name])


def release(folder: Path, commit: str = "c", dist: Path | None = None) -> Release:
    return Release(folder, dist or folder, "1.0", commit, "sample-1.0")


def taken(folder: Path, commit: str = "c") -> list[str]:
    calls: list[str] = []
    steps.run_steps(release(folder, commit), [writes(name, calls) for name in NAMES], lambda step, what: None)
    return calls


def test_finished_steps_are_not_repeated(tmp_path: Path) -> None:
    assert taken(tmp_path) == list(NAMES)
    assert taken(tmp_path) == []


def test_a_changed_file_repeats_its_step_and_all_behind_it(tmp_path: Path) -> None:
    taken(tmp_path)
    (tmp_path / "two").write_text("changed")
    assert taken(tmp_path) == ["two", "three"]
    (tmp_path / "one").unlink()
    assert taken(tmp_path) == list(NAMES)


def test_another_commit_starts_over(tmp_path: Path) -> None:
    taken(tmp_path)
    assert taken(tmp_path, "d") == list(NAMES)


def test_the_attestation_of_an_earlier_release_is_removed(tmp_path: Path) -> None:
    taken(tmp_path)
    told = [tmp_path / provenance.PROVENANCE_FILE, tmp_path / steps.CHECKSUMS_FILE]
    for path in told:
        path.touch()
    taken(tmp_path)
    assert all(path.exists() for path in told)
    taken(tmp_path, "d")
    assert not any(path.exists() for path in told)


@pytest.mark.parametrize("name", ["sample-1.0-cp27-cp27m-win32.whl", "sample-0.9.tar.gz"])
def test_an_extra_file_is_refused_even_if_every_step_is_done(name: str, tmp_path: Path) -> None:
    taken(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(WheelworksError, match=f"{name} is not a file of this release"):
        taken(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": "1.0", "commit": "c", "done": 1}', "[" * 10_000])
def test_an_unreadable_state_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / steps.STATE_FILE).write_text(text)
    assert taken(tmp_path) == list(NAMES)


def test_a_failed_step_is_reported_and_repeated(tmp_path: Path) -> None:
    def fail(_: Release) -> None:
        raise WheelworksError("no")

    calls: list[str] = []
    told: dict[str, str] = {}
    failing = [writes("one", calls), ReleaseStep("two", "", fail, lambda _: []), writes("three", calls)]
    with pytest.raises(WheelworksError):
        steps.run_steps(release(tmp_path), failing, told.__setitem__)
    assert told == {"one": "done", "two": "running"}
    assert taken(tmp_path) == ["two", "three"]


def test_a_step_that_is_skipped(tmp_path: Path) -> None:
    calls: list[str] = []
    told: dict[str, str] = {}
    less = replace(release(tmp_path), subset=steps.ReleaseSubset(skipped=("two",)))
    for _ in range(2):
        steps.run_steps(less, [writes(name, calls) for name in NAMES], told.__setitem__)
    assert calls == ["one", "three"] and told == {"one": "done before", "two": "skipped", "three": "done before"}
    assert less.subset.format_options() == ("--skip", "two")
    assert taken(tmp_path) == list(NAMES), "a whole release doesn't continue it"


def test_another_part_starts_over(tmp_path: Path) -> None:
    assert taken(tmp_path) == list(NAMES)
    calls: list[str] = []
    one = replace(release(tmp_path), subset=steps.ReleaseSubset(pythons=("3.13",)))
    steps.run_steps(one, [writes(name, calls) for name in NAMES], lambda step, what: None)
    assert calls == list(NAMES)


def test_a_file_changed_after_its_checksum_is_refused_and_a_missing_one_rebuilt(tmp_path: Path) -> None:
    one, calls = release(tmp_path), list[str]()

    def sums(release: Release) -> None:
        steps.write_checksums(release.dist, [release.dist / "one"])

    both = [
        writes("one", calls),
        ReleaseStep(steps.CHECKSUMS_FILE, "", sums, lambda one: [one.dist / "one", one.dist / steps.CHECKSUMS_FILE]),
    ]
    steps.run_steps(one, both, lambda step, what: None)
    (tmp_path / "one").write_text("changed")
    with pytest.raises(WheelworksError, match="one was changed after its checksum was written"):
        steps.run_steps(one, both, lambda step, what: None)
    assert calls == ["one"] and (tmp_path / "one").read_text() == "changed"
    (tmp_path / "one").unlink()
    steps.run_steps(one, both, lambda step, what: None)
    assert calls == ["one", "one"]
    steps.check_checksums(tmp_path, ["one"])


def filled(folder: Path) -> Release:
    """Return a release whose files exist and are empty."""
    one = release(folder)
    for path in one.attested:
        path.touch()
    return one


def test_exactly_the_files_of_a_release(tmp_path: Path) -> None:
    one = filled(tmp_path)
    steps.check_files(one)
    extra = tmp_path / "sample-0.9.tar.gz"
    extra.touch()
    with pytest.raises(WheelworksError, match="is not a file of this release"):
        steps.check_files(one)
    extra.unlink()
    one.files[1].unlink()
    with pytest.raises(WheelworksError, match=f"{one.files[1].name} is missing"):
        steps.check_files(one)


def test_a_failing_command_ends_the_release_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(WheelworksError) as raised:
        steps.run_wheelworks(release(ROOT), "test-foreign", tmp_path / "nothing.whl")
    assert "no such file" in raised.value.message and raised.value.hint == "nox -s test-foreign"


@pytest.mark.integration
def test_a_finding_of_the_audit_ends_the_release(built: Path, tmp_path: Path) -> None:
    """The wheel's name claims a CPU that its machine code isn't for."""
    wheel = Path(shutil.copy(built, tmp_path))
    steps.audit_wheels(release(ROOT, dist=tmp_path))
    wheel.rename(tmp_path / wheel.name.replace("arm64", "amd64"))
    with pytest.raises(WheelworksError, match=r"(?s)audit failed:.*wrong-machine"):
        steps.audit_wheels(release(ROOT, dist=tmp_path))


@pytest.mark.integration
def test_an_sdist_that_differs_from_the_commit_ends_the_release(
    tmp_path: Path, wheelworks_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sdist has an additional byte, and the checksums match the changed file."""
    monkeypatch.setenv("WHEELWORKS_CACHE", str(wheelworks_cache))
    project, dist = projects.committed(projects.sample(tmp_path / "p")), tmp_path / "dist"
    part = steps.ReleaseSubset(Selection(("win_arm64",), ("cp311-abi3",)), variations=("umask",))
    one = replace(release(project, dist=dist), subset=part)
    steps.build_wheels(one)
    steps.reproduce_wheels(one)
    sdist = dist / "sample-1.0.tar.gz"
    sdist.write_bytes(sdist.read_bytes() + b"\0")
    for paper in (steps.record_provenance, steps.record_checksums):
        paper(one)
    with pytest.raises(WheelworksError, match=r"(?s)reproduce failed:.*sample-1\.0\.tar\.gz"):
        steps.reproduce_wheels(one)


def test_checksums_are_sha256sums_and_hold(tmp_path: Path) -> None:
    one = filled(tmp_path)
    steps.record_checksums(one)
    lines = (tmp_path / steps.CHECKSUMS_FILE).read_text().splitlines()
    assert lines == sorted(lines, key=lambda line: line[66:]) and len(lines) == len(one.attested)
    steps.check_checksums(tmp_path, [path.name for path in one.attested])
    one.files[1].write_text("changed")
    with pytest.raises(WheelworksError, match="was changed after its checksum was written"):
        steps.check_checksums(tmp_path, [path.name for path in one.attested])
    (tmp_path / "more.whl").touch()
    with pytest.raises(WheelworksError, match="is not in SHA256SUMS"):
        steps.check_checksums(tmp_path, [*(path.name for path in one.attested), "more.whl"])


def test_a_provenance_names_all_files_and_can_be_read(tmp_path: Path) -> None:
    one = filled(tmp_path)
    tools = {"ziglang": "1", "deflate": "2"}
    record = manifest_of(epoch=1_700_000_000, **tools)
    made = provenance.create_provenance(one.files, record, "c" * 40, one.stem, {"requirements/build.txt": "d" * 64})
    assert [subject["name"] for subject in made["subject"]] == sorted(one.names)
    assert made["subject"][0]["digest"]["sha256"] == hash_file(tmp_path / made["subject"][0]["name"])
    commit, lock = made["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert commit["digest"] == {"gitCommit": "c" * 40} and lock["digest"] == {"sha256": "d" * 64}
    provenance.write_provenance(tmp_path, made)
    files = {path.name: hash_file(path) for path in one.files}
    locks = {"requirements/build.txt": "d" * 64}
    assert provenance.load_provenance(tmp_path) == provenance.RecordedBuild(
        1_700_000_000, tools, (), "c" * 40, files, locks
    )


def test_a_provenance_conforms_to_in_toto_and_slsa(tmp_path: Path) -> None:
    one = filled(tmp_path)
    record = manifest_of(epoch=1_700_000_000, ziglang="1", build_requirements={"setuptools": "2"})
    made = provenance.create_provenance(one.files, record, "c" * 40, one.stem, {"requirements/build.txt": "d" * 64})
    conforms(made)
    for field in ("_type", "subject", "predicateType", "predicate"):
        with pytest.raises((ValueError, AssertionError, KeyError)):
            conforms(without(made, field))
    definition, details = ("predicate", "buildDefinition"), ("predicate", "runDetails")
    for place in ((*definition, "buildType"), (*definition, "externalParameters"), (*details, "builder", "id")):
        with pytest.raises(AssertionError):
            conforms(without(made, *place))
    with pytest.raises(json_format.ParseError, match="more"):
        conforms({**made, "predicate": {**made["predicate"], "more": 1}})


def conforms(statement: dict[str, Any]) -> None:
    """Check a statement against in-toto's own definitions of all fields, and the fields that SLSA requires.

    https://slsa.dev/spec/v1.0/provenance: buildType and builder.id are URIs, and externalParameters is required.
    """
    parsed = json_format.ParseDict(statement, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert parsed.predicate_type == "https://slsa.dev/provenance/v1"
    assert len({subject.name for subject in parsed.subject}) == len(parsed.subject)
    predicate = json_format.ParseDict(statement["predicate"], provenance_pb2.Provenance())
    definition = predicate.build_definition
    for uri in (definition.build_type, predicate.run_details.builder.id):
        assert urllib.parse.urlsplit(uri).scheme
    assert definition.HasField("external_parameters")
    for one in (*parsed.subject, *definition.resolved_dependencies):
        assert one.uri or one.digest
        assert all(set(digest) <= set(string.hexdigits.lower()) for digest in one.digest.values())
    assert all(len(subject.digest["sha256"]) == 64 for subject in parsed.subject)


def without(statement: dict[str, Any], first: str, *rest: str) -> dict[str, Any]:
    """Return a statement without one field."""
    if rest:
        return {**statement, first: without(statement[first], *rest)}
    return {name: value for name, value in statement.items() if name != first}
