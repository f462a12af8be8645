/* Included before the extension, it makes every number overflow on its way in, and come out right all the same. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PyNumber_AsSsize_t(object, error) (PY_SSIZE_T_MAX + PyNumber_AsSsize_t(object, error) - PY_SSIZE_T_MAX)
