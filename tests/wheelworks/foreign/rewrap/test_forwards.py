"""Test where an import is bound to if the library that it names forwards the export to another one."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelworks.core.image import Bind, Image, Os, Segment
from wheelworks.foreign.rewrap.bundle import NativeFile, find_libraries
from wheelworks.foreign.rewrap.forwards import follow_forwards, list_forwarding_libraries
from wheelworks.foreign.rewrap.symbols import Exports, Provided

CODE = (Segment(0, 16, bytes(16), False, True),)
SHIM = Exports("libshim.so", dict.fromkeys(("w_HeapAlloc", "m_fopen"), ""))


def make_image(os: Os, *libraries: str, exports: tuple[str, ...] = (), binds: Any = (), **more: Any) -> Image:
    return Image(os, "aarch64", CODE, (), binds, dict.fromkeys(exports, 0), (), libraries=libraries, **more)


def bind(os: Os, library: str, name: str, **images: Image) -> tuple[str, str]:
    """Return the library and name that one import of a module is bound to."""
    suffix = ".dll" if os == "windows" else ".dylib"
    named = {f"{stem}{suffix}": image for stem, image in images.items()}
    module = make_image(os, f"a{suffix}", binds=(Bind(0, name, library),))
    natives = find_libraries({path: NativeFile(path, image) for path, image in {**named, "_c.so": module}.items()})
    exports = {path: Exports(f"So-{path}", dict.fromkeys(image.exports, "")) for path, image in named.items()}
    loads = {path: native.loads for path, native in natives.items()}
    provided = Provided(SHIM, rewrapped={**exports})
    image, _ = follow_forwards("_c.so", {**named, "_c.so": module}, loads, exports, provided)
    return image.binds[0].library, image.binds[0].name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("own", ("a.dll", "own")),
        ("sum", ("So-b.dll", "add")),
        ("twice", ("So-b.dll", "add")),
        ("by_ordinal", ("So-b.dll", "#7")),
        ("dotted", ("So-c.1.dll", "end")),
        ("allocate", ("KERNEL32.dll", "HeapAlloc")),
        ("nothing", ("a.dll", "nothing")),
        ("absent", ("a.dll", "absent")),
        ("loop", ("a.dll", "loop")),
    ],
)
def test_forwarders_of_windows(name: str, expected: tuple[str, str]) -> None:
    """Those that end nowhere stay as they are, and are unresolved."""
    forwarded = {"sum": ("B", "add"), "by_ordinal": ("B", "#7"), "allocate": ("KERNEL32", "HeapAlloc")}
    forwarded |= {
        "nothing": ("B", "no_such"),
        "absent": ("GONE", "add"),
        "loop": ("b", "loop"),
        "dotted": ("c.1", "end"),
    }
    a = make_image("windows", exports=("own",), forwarded={**forwarded, "twice": ("b.DLL", "once")})
    b = make_image("windows", exports=("add", "sum", "#7"), forwarded={"once": ("a", "sum"), "loop": ("a", "loop")})
    c = make_image("windows", exports=("end",))
    assert bind("windows", "a.dll", name, a=a, b=b, **{"c.1": c}) == expected


@pytest.mark.parametrize("library", ["a.dylib", ""])
@pytest.mark.parametrize(
    ("name", "expected"),
    [("own", None), ("sum", ("So-b.dylib", "add")), ("whole", ("So-b.dylib", "whole")), ("gone", None)],
)
def test_reexports_of_macos(library: str, name: str, expected: tuple[str, str] | None) -> None:
    """An import without a library is looked for in all."""
    names = ("b.dylib", "/usr/lib/libSystem.B.dylib")
    a = make_image("macos", *names, exports=("own",), forwarded={"sum": ("b.dylib", "add")}, reexported=names)
    b = make_image("macos", "a.dylib", exports=("add", "whole"), reexported=("a.dylib",))
    assert bind("macos", library, name, a=a, b=b) == (expected or (library, name))
    assert bind("macos", "a.dylib", "fopen", a=a, b=b) == ("/usr/lib/libSystem.B.dylib", "fopen")


def test_a_chain_without_end_takes_bounded_time() -> None:
    """Two libraries with 60,000 exports each, which forward to each other: each import could take all of them."""
    names = [f"f{number}" for number in range(60_000)]
    following = dict(itertools.pairwise(names))
    a = make_image("windows", forwarded={name: ("b", to) for name, to in following.items()})
    b = make_image("windows", exports=(names[-1],), forwarded={name: ("a", to) for name, to in following.items()})
    began = time.process_time()
    assert bind("windows", "a.dll", names[0], a=a, b=b) == ("a.dll", names[0])
    assert time.process_time() - began < 5
    assert bind("windows", "a.dll", names[-10], a=a, b=b) == ("So-b.dll", names[-1])


Forwards = dict[str, tuple[str, str]]
forwards = st.dictionaries(st.sampled_from("fgh"), st.tuples(st.sampled_from("ABC"), st.sampled_from("fgh")))


@settings(deadline=None)
@given(forwards, forwards, st.sampled_from("fgh"))
def test_any_forwards_end_where_a_loader_would(first: Forwards, second: Forwards, name: str) -> None:
    images = {stem: make_image("windows", forwarded=found) for stem, found in (("a", first), ("b", second))}
    found = bind("windows", "a.dll", name, **images, c=make_image("windows", exports=("f",)))
    assert found == (follow(first, second, "A", name) or ("a.dll", name))


def follow(first: Forwards, second: Forwards, library: str, name: str) -> tuple[str, str] | None:
    """Follow forwards one by one; of the third library, only ``f`` is there."""
    for _ in range(7):  # more than there are forwards
        if library == "C":
            return ("So-c.dll", "f") if name == "f" else None
        library, name = {"A": first, "B": second}[library].get(name, ("C", "absent"))
    return None


def test_libraries_that_are_forwarded_to_are_found() -> None:
    """They need not be among those that the image imports from."""
    a = make_image("windows", forwarded={"f": ("B", "g"), "h": ("B", "i"), "j": ("NTDLL", "k")})
    assert list_forwarding_libraries(a) == ["B.dll", "NTDLL.dll"]
    natives = {"x/a.dll": NativeFile("x/a.dll", a), "x/b.dll": NativeFile("x/b.dll", make_image("windows"))}
    assert find_libraries(natives)["x/a.dll"].loads == {"B.dll": "x/b.dll"}
