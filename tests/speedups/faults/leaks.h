/* Included before the extension, it has nothing released: no buffer, and no object by Py_DecRef. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PyBuffer_Release(view) ((void)(view))
#define Py_DecRef(object) ((void)(object))
