/* Included before the extension, it makes every result longer than 64 bytes too short for what is written into it. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PyBytes_FromStringAndSize(text, size) PyBytes_FromStringAndSize(text, (size) > 64 ? (size) - 64 : (size))
