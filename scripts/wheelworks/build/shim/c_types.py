"""`ctypes` and `array` as they are on the target; imported when the project's code imports one of them."""

from __future__ import annotations

import array
import ctypes
from typing import Any

from .layout import Layout, refuse

_SAME_EVERYWHERE = tuple("cbB?hHiIfd")  # codes of the types that have one size on all targets
_POINTERS: tuple[type, ...] = (getattr(ctypes, "_Pointer"), getattr(ctypes, "_CFuncPtr"))  # noqa: B009  # not public
_OF_THE_SYSTEM = frozenset({"c", "m", "dl", "rt", "pthread", "util", "msvcrt", "System"})


def make_array_view(layout: Layout) -> dict[str, Any]:
    """Return the type of `array`, which refuses items that have another size on the target."""
    sizes = {"l": layout.long, "L": layout.long, "u": layout.wchar}

    class TargetArray(array.array):  # type: ignore[type-arg]  # not generic when it runs
        def __new__(cls, code: str, *rest: Any) -> Any:
            if sizes.get(code) not in (None, array.array(code).itemsize):
                refuse(f"array.array({code!r})")
            return array.array(code, *rest)

    return {"array": TargetArray, "ArrayType": TargetArray}


class Refused:
    """Stands for an object of ctypes with which a program calls the libraries of the machine that it runs on."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return refuse(f"{self.__dict__['_name']}.{name}")

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Refuse the call."""
        return refuse(f"{self.__dict__['_name']}()")


def make_ctypes_view(layout: Layout, system: str) -> dict[str, Any]:
    """Return what `ctypes` says on the target; where ``long`` has 8 bytes, ctypes has one type for several names."""
    sizes = {
        **dict.fromkeys(("c_long", "c_ulong"), layout.long),
        **dict.fromkeys(("c_longlong", "c_ulonglong", "c_int64", "c_uint64"), 8),
        **dict.fromkeys(("c_size_t", "c_ssize_t", "c_void_p", "c_char_p", "c_wchar_p", "py_object"), layout.pointer),
        "c_wchar": layout.wchar,
        "c_longdouble": layout.long_double,
    }
    types = {name: type(name, (getattr(ctypes, name),), {}) for name in sizes}
    known = {types[name]: size for name, size in sizes.items()}

    def sizeof(asked: Any) -> int:
        return _measure(asked if isinstance(asked, type) else type(asked), known, layout)

    def alignment(asked: Any) -> int:
        kind: Any = asked if isinstance(asked, type) else type(asked)
        while hasattr(kind, "_length_"):
            kind = kind._type_
        size = _measure(kind, known, layout)
        return min(size, layout.widest) if size <= 8 else int(refuse(f"ctypes.alignment({kind.__name__})"))

    windows = ("windll", "oledll", "WinDLL", "OleDLL") if system == "windows" else ()
    loaders = ("CDLL", "PyDLL", "cdll", "pydll", "pythonapi", *windows)
    return {
        **types,
        **{name: Refused(f"ctypes.{name}") for name in loaders},
        "sizeof": sizeof,
        "alignment": alignment,
    }


def _measure(kind: Any, known: dict[type, int], layout: Layout) -> int:
    if kind in known:
        return known[kind]
    if hasattr(kind, "_length_"):
        return int(kind._length_) * _measure(kind._type_, known, layout)
    if issubclass(kind, _POINTERS) or getattr(kind, "_type_", "") in ("P", "z", "Z", "O"):
        return int(layout.pointer)
    if getattr(kind, "_type_", "") in _SAME_EVERYWHERE:
        return ctypes.sizeof(kind)
    return int(refuse(f"ctypes.sizeof({kind.__name__})"))


def find_library(name: str) -> str | None:
    """Answer as `ctypes.util.find_library` for a target that has only its system's own libraries here."""
    return None if name not in _OF_THE_SYSTEM else str(refuse(f"ctypes.util.find_library({name!r})"))
