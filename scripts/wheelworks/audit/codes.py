"""The table of what the audit can find: help, documentation and reports are made from it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from wheelworks.errors import UsageError

Severity = Literal["error", "warning", "information"]
Group = Literal["archive", "extension", "code", "hardening", "determinism", "dependencies", "project"]

GROUPS: tuple[Group, ...] = (
    "archive", "extension", "code", "hardening", "determinism", "dependencies", "project",
)  # fmt: skip


@dataclass(frozen=True)
class Code:
    """One kind of finding: ``what`` is wrong and whom it hurts, and what to ``do`` about it."""

    id: str
    name: str
    severity: Severity
    group: Group
    what: str
    do: str


_TABLE: tuple[tuple[str, str, Severity, Group, str, str], ...] = (
    # -- archive ------------------------------------------------------------------------------------------------
    ("W001", "unreadable", "error", "archive",
     "The file is no zip archive, or is damaged: installers will refuse it, or read it differently from each other.",
     "Build the wheel again, and compare its checksum after each upload and download."),
    ("W002", "beyond-limits", "error", "archive",
     "The archive holds more bytes or files than any real wheel does: a bomb, or a mistake.",
     "Look at what is packed; leave data out of the wheel, or fetch it at run time."),
    ("W003", "wrong-file-name", "error", "archive",
     "The file's name is no wheel's name (PEP 427), so that no installer will take it.",
     "Build with a current backend, and don't rename wheels by hand."),
    ("W004", "escaping-member", "error", "archive",
     "A member's name is absolute, climbs with `..`, or has Windows' separators: it can be written outside its folder.",
     "Find what put it there; no build backend writes such a name."),
    ("W005", "duplicate-member", "error", "archive",
     "Two members have one name, or names that a file system without case takes for one: which is installed is chance.",
     "Rename one of the files; look for a build that packs twice."),
    ("W006", "link-or-device", "error", "archive",
     "A member is a symbolic link or another special file; wheels hold plain files, and installers differ about it.",
     "Pack the file that it points to."),
    ("W007", "odd-mode", "error", "archive",
     "A member is writable for everyone, sets the user's or group's id, or can't be read by others: "
     "whoever installs it for all users gets that.",
     "Build with umask 022 from files of mode 644 and 755."),
    ("W008", "no-record", "error", "archive",
     "RECORD is missing or can't be read, so that nothing installed can be verified or removed.",
     "Build with a current backend; after editing a wheel, repack it with `wheel pack`."),
    ("W009", "record-mismatch", "error", "archive",
     "RECORD gives another hash or size than the file has: installers that check refuse the wheel.",
     "After editing a wheel, repack it so that RECORD is made anew."),
    ("W010", "not-in-record", "error", "archive",
     "A file isn't in RECORD with a hash: it is installed unverified, and stays behind when the package is removed.",
     "After adding a file, repack the wheel so that RECORD is made anew."),
    ("W011", "record-names-nothing", "error", "archive",
     "RECORD names a file that the wheel doesn't hold.",
     "After removing a file, repack the wheel so that RECORD is made anew."),
    ("W012", "weak-hash", "error", "archive",
     "RECORD uses a hash below SHA-256, which the wheel format forbids.",
     "Build with a current backend."),
    ("W013", "bytecode", "error", "archive",
     "The wheel carries compiled Python code, which one Python version alone can use, and whose source nobody compares.",
     "Leave `__pycache__` out; the installer makes it."),
    ("W014", "stray-file", "warning", "archive",
     "A file that belongs to a build, an editor, a version control system or an installer.",
     "Exclude it in the build backend's settings."),
    ("W015", "several-top-levels", "information", "archive",
     "The wheel installs more than one top-level name, which can clash with other projects'.",
     "Keep everything below one package, if that can still be changed."),
    ("W016", "common-top-level", "warning", "archive",
     "A top-level name such as `tests` or `docs`, which many projects install over each other's.",
     "Exclude it in the build backend's settings, or move it into the package."),
    ("W017", "invalid-metadata", "error", "archive",
     "METADATA breaks the core metadata specification: the index refuses the upload, or tools misread it.",
     "Correct pyproject.toml or the backend's version; `packaging.metadata` is what judges here."),
    ("W018", "other-project", "error", "archive",
     "METADATA or the .dist-info folder names another project or version than the file's name.",
     "Build again rather than rename."),
    ("W019", "other-tags", "error", "archive",
     "The tags in WHEEL aren't those of the file's name, each written out: installers and tools that read WHEEL see "
     "another wheel than those that read the name.",
     "Retag with `wheel tags`, which writes both."),
    ("W020", "invalid-wheel-file", "error", "archive",
     "WHEEL is missing, or lacks its version, or is of a version that installers don't know, or its "
     "Root-Is-Purelib contradicts the tags.",
     "Build with a current backend."),
    ("W021", "licence-missing", "error", "archive",
     "METADATA names a licence file that the wheel doesn't hold.",
     "Repack with the file, below .dist-info/licenses (PEP 639)."),
    ("W022", "no-licence", "warning", "archive",
     "The wheel holds no licence file, though nearly every licence asks for its text to go along.",
     "Set `license-files` in pyproject.toml."),
    ("W023", "sbom-unreadable", "error", "archive",
     "A file below .dist-info/sboms is no CycloneDX or SPDX document in JSON (PEP 770).",
     "Write it with a current tool, and read it back."),
    ("W024", "build-path", "warning", "archive",
     "A file names a folder of the machine that built it: builds differ from place to place, and it tells of them.",
     "Strip binaries; pass -ffile-prefix-map (C), --remap-path-prefix (Rust), /pathmap or /d1trimfile (MSVC)."),
    ("W025", "invalid-entry-points", "error", "archive",
     "entry_points.txt can't be read, or an entry names no object.",
     "Correct the entry points in pyproject.toml."),
    ("W026", "unknown-platform", "warning", "archive",
     "A platform tag that this audit doesn't know: checks that depend on the platform weren't made.",
     "Check the tag's spelling; if it is right, the audit has to learn it."),
    ("W027", "newer-metadata-field", "information", "archive",
     "METADATA has a field that came with a later version of the format than it states; readers take it all the same.",
     "Build with a current backend."),
    # -- extension ----------------------------------------------------------------------------------------------
    ("W101", "wrong-machine", "error", "extension",
     "A binary is for another CPU than the tag: it installs, and fails when it is imported.",
     "Something in the build called the host's compiler; build for the target."),
    ("W102", "wrong-format", "error", "extension",
     "A binary is of another system's format than the tag: it installs, and fails when it is imported.",
     "Something in the build called the host's compiler; build for the target."),
    ("W103", "no-extension", "error", "extension",
     "A platform wheel without native code: the extension was optional, and was dropped when it failed to compile.",
     "Make a missing extension an error in release builds; tag pure wheels py3-none-any."),
    ("W104", "extension-in-pure-wheel", "error", "extension",
     "Native code in a wheel that is tagged for any platform.",
     "Tag the wheel for the platform that it was built for."),
    ("W105", "wrong-suffix", "error", "extension",
     "Python of the wheel's tag doesn't look for an extension module of that file name.",
     "Build with the sysconfig of the tag's Python, ABI and platform."),
    ("W106", "no-entry-point", "error", "extension",
     "An extension module exports neither PyInit_NAME nor PyModExport_NAME of its name: Python can't import it.",
     "Mark the function PyMODINIT_FUNC, and name it after the file."),
    ("W107", "surplus-exports", "warning", "extension",
     "An extension module exports more than its entry point: names that can clash with other modules' in one process.",
     "Compile with -fvisibility=hidden; give the linker a list of exports."),
    ("W108", "library-not-promised", "error", "extension",
     "A binary needs a library that neither the platform tag promises nor the wheel holds.",
     "Bundle it (auditwheel, delocate, delvewheel), link it statically, or do without."),
    ("W109", "wrong-python-library", "error", "extension",
     "A binary is linked to the library of a Python that users of the tag don't have: abi3 needs python3.dll, abi3t "
     "python3t.dll, a version's wheel that version's; on Linux and macOS none at all.",
     "Define Py_LIMITED_API and py_limited_api together; don't link to libpython."),
    ("W110", "debug-runtime", "error", "extension",
     "A binary needs a debug build of Python or of Microsoft's C runtime, which only developers have.",
     "Build in release mode."),
    ("W111", "msvc-runtime", "error", "extension",
     "A binary needs a part of Microsoft's C++ runtime that Python doesn't bring, so that many users lack it.",
     "Bundle it with delvewheel, or link it statically (/MT)."),
    ("W112", "symbol-too-new", "error", "extension",
     "A binary asks a system library for a symbol version above the tag's: it fails to load on systems that "
     "the tag promises.",
     "Build in the tag's container or against that libc, or raise the tag."),
    ("W113", "macos-too-new", "error", "extension",
     "A Mach-O file needs a newer macOS than the tag says: it fails to load on those below.",
     "Set MACOSX_DEPLOYMENT_TARGET to the tag's version, or raise the tag."),
    ("W114", "unsigned", "error", "extension",
     "A Mach-O file for ARM64 without a code signature: macOS kills the process that loads it.",
     "Sign it at least ad hoc: `codesign -s -`, or let the linker do it."),
    ("W115", "signature-broken", "error", "extension",
     "A Mach-O file was changed after it was signed: macOS kills the process that loads it.",
     "Sign it again as the last step: `codesign --force -s -`."),
    ("W116", "not-in-stable-abi", "error", "extension",
     "An abi3 or abi3t binary asks Python for symbols outside of the stable ABI, or newer than the tag's Python.",
     "Set Py_LIMITED_API to the version of the tag and compile with that version's headers."),
    ("W117", "half-missing", "error", "extension",
     "A universal2 binary holds one of its two machines only.",
     "Build with ARCHFLAGS='-arch arm64 -arch x86_64', or tag the wheel for one machine."),
    ("W118", "undefined-symbol", "error", "extension",
     "A binary needs no library, and yet functions that aren't Python's: nothing promises that they are there.",
     "Link to the libraries that have them."),
    ("W119", "binary-unreadable", "error", "extension",
     "A native file is damaged: no loader will take it, or each will read it differently.",
     "Build it again; compare it before and after each tool that edits it."),
    ("W120", "binary-not-read", "warning", "extension",
     "A native file is too large to be looked into here: nothing is known of its code.",
     "Split it, or check it by its platform's own tools."),
    # -- code ---------------------------------------------------------------------------------------------------
    ("W201", "above-baseline", "error", "code",
     "The code uses instructions that not every CPU of the tag has, and never asks the CPU: it dies with SIGILL there.",
     "Compile for the baseline (no -march=native, no -mcpu of the builder), ask the CPU before use, or declare it "
     "with --cpu FEATURE."),
    ("W202", "above-baseline-guarded", "information", "code",
     "The code uses instructions that not every CPU of the tag has, and somewhere asks the CPU what it has.",
     "Nothing, as long as each use is behind the question: run the tests on a CPU of the baseline."),
    ("W203", "code-not-checked", "information", "code",
     "Some code was not compared with a baseline: its CPU is not known here, or there is too much of it.",
     "Run the wheel on the oldest CPU that the tag promises."),
    # -- hardening ----------------------------------------------------------------------------------------------
    ("W301", "executable-stack", "error", "hardening",
     "The binary asks for an executable stack: newer glibc refuses to load it, and it weakens the whole process.",
     "Add a .note.GNU-stack section to assembly files, or link with -z noexecstack."),
    ("W302", "text-relocations", "error", "hardening",
     "The loader has to write into code: refused by musl and by hardened systems.",
     "Compile everything with -fPIC."),
    ("W303", "writable-code", "error", "hardening",
     "Memory that is both writable and executable, from the file's own headers.",
     "Look for a section flag or a linker script that merges code and data."),
    ("W304", "no-nx", "error", "hardening",
     "The DLL isn't marked NX_COMPAT: its data may be executed.",
     "Link with /NXCOMPAT."),
    ("W305", "no-aslr", "error", "hardening",
     "The DLL isn't marked DYNAMIC_BASE (and, with 64 bits, HIGH_ENTROPY_VA): it is loaded at a known address.",
     "Link with /DYNAMICBASE and /HIGHENTROPYVA."),
    ("W306", "no-relro", "warning", "hardening",
     "Tables that the loader fills stay writable.",
     "Link with -z relro."),
    ("W307", "lazy-binding", "information", "hardening",
     "Functions are looked up on first use, so that the table of their addresses stays writable.",
     "Link with -z now."),
    ("W308", "absolute-rpath", "error", "hardening",
     "The loader searches an absolute folder, of the building machine, or writable by others: code can be put there.",
     "Remove it: patchelf --remove-rpath, install_name_tool -delete_rpath; $ORIGIN and @loader_path are right."),
    # -- determinism --------------------------------------------------------------------------------------------
    ("W401", "build-time", "warning", "determinism",
     "A PE file bears the time at which it was linked: no two builds give the same bytes.",
     "Link with /Brepro, or with SOURCE_DATE_EPOCH set (lld)."),
    ("W402", "debug-information", "warning", "determinism",
     "Debug information is left in the binary (DWARF sections, Mach-O's object file notes): size, and paths.",
     "Strip it: -Wl,-s or -g0 (ELF), strip -S (macOS)."),
    ("W403", "debug-path", "warning", "determinism",
     "The binary says where the builder kept its debug information (PDB, OSO): a path of that machine.",
     "Link with /PDBALTPATH:%_PDB%, or without debug information; strip -S (macOS)."),
    # -- dependencies -------------------------------------------------------------------------------------------
    ("W501", "dependency-hole", "error", "dependencies",
     "A run-time dependency, or one of its own, has no wheel for a platform and Python that are claimed: "
     "users there need a compiler.",
     "Choose a version that has one, make it optional there, or stop claiming the platform."),
    ("W502", "known-vulnerability", "error", "dependencies",
     "A run-time dependency has a published vulnerability in the version that users get.",
     "Raise the lower bound to the version that mends it."),
    ("W503", "dependencies-not-checked", "warning", "dependencies",
     "The dependencies could not be resolved: no index could be reached, or the resolver wasn't there.",
     "Run again with a connection; --strict makes this a failure."),
    ("W504", "vulnerabilities-not-checked", "warning", "dependencies",
     "The service that knows of vulnerabilities could not be reached.",
     "Run again with a connection; --strict makes this a failure."),
    ("W505", "licences", "information", "dependencies",
     "The licences of the run-time dependencies, as they state them.",
     "Read whether they fit the project's own."),
    # -- project ------------------------------------------------------------------------------------------------
    ("W601", "unhashed-requirement", "error", "project",
     "A line of a lock file has no hash, or isn't pinned: what is installed can change, or be changed.",
     "Write the lock files with `nox -s lock`."),
    ("W602", "lock-behind", "error", "project",
     "A lock file lacks what its .in file or pyproject.toml asks for, or holds a version that they exclude.",
     "Write the lock files anew with `nox -s lock`."),
    ("W603", "workflow", "error", "project",
     "zizmor found a weakness in a CI workflow.",
     "Read zizmor's page on the audit that is named."),
    ("W604", "workflows-not-checked", "warning", "project",
     "There are workflows, and zizmor could not look at them.",
     "Install zizmor; --strict makes this a failure."),
)  # fmt: skip

CODES: dict[str, Code] = {row[0]: Code(*row) for row in _TABLE}


def find(word: str) -> Code:
    """The code of that number or name. Raises UsageError that names the nearest."""
    for code in CODES.values():
        if word.casefold() in (code.id.casefold(), code.name):
            return code
    near = difflib.get_close_matches(word, [*CODES, *(code.name for code in CODES.values())], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"no code {word!r}", f"{hint}the codes are {min(CODES)} to {max(CODES)}; --explain all lists them")


def explain(code: Code) -> str:
    """A code in words, for the terminal."""
    return f"{code.id} {code.name}: {code.severity} ({code.group})\n\n{code.what}\n\n{code.do}\n"


def markdown() -> str:
    """The table of all codes, as documentation shows it."""
    lines = ["| code | severity | what is wrong | what to do |", "|---|---|---|---|"]
    lines += [f"| `{code.id}` {code.name} | {code.severity} | {code.what} | {code.do} |" for code in CODES.values()]
    return "\n".join(lines) + "\n"
