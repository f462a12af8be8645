/* The functions of the module, one C file per group. Each has a twin in Python, where its behaviour is documented. */

#ifndef TORNADO_SPEEDUPS_FUNCTIONS_H
#define TORNADO_SPEEDUPS_FUNCTIONS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

PyObject *websocket_mask(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *websocket_mask_inplace(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *parse_frames(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *build_frame(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *parse_headers(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *parse_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *parse_start_line(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *serialize_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
