"""Functions of the CPython that runs this program: it converts and judges values better than any imitation."""

from __future__ import annotations

import ctypes
from typing import Any

LIBRARY = ctypes.PyDLL(None, handle=ctypes.pythonapi._handle)


class HostBuffer(ctypes.Structure):
    """Py_buffer (CPython: Include/pybuffer.h)."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
        ("strides", ctypes.POINTER(ctypes.c_ssize_t)),
        ("suboffsets", ctypes.POINTER(ctypes.c_ssize_t)),
        ("internal", ctypes.c_void_p),
    ]


def _function(name: str, *arguments: Any, result: Any = ctypes.c_int) -> Any:
    function = getattr(LIBRARY, name)
    function.argtypes, function.restype = arguments, result
    return function


PARSE_TUPLE = _function("_PyArg_ParseTuple_SizeT", ctypes.py_object, ctypes.c_char_p)
PARSE_TUPLE_AND_KEYWORDS = _function(
    "_PyArg_ParseTupleAndKeywords_SizeT",
    ctypes.py_object,
    ctypes.py_object,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_char_p),
)
GET_BUFFER = _function("PyObject_GetBuffer", ctypes.py_object, ctypes.POINTER(HostBuffer), ctypes.c_int)
RELEASE_BUFFER = _function("PyBuffer_Release", ctypes.POINTER(HostBuffer), result=None)
