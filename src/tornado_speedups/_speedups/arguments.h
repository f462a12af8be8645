/* Arguments that hold bytes: bytes, str (as UTF-8), or anything with a contiguous buffer.

   A function opens each argument, uses its bytes, and closes it: the bytes are borrowed, never copied. */

#ifndef TORNADO_SPEEDUPS_ARGUMENTS_H
#define TORNADO_SPEEDUPS_ARGUMENTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Only the module's init function is exported; PyMODINIT_FUNC says so itself. */
#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

typedef struct {
    const unsigned char *bytes;
    Py_ssize_t length;
    Py_buffer buffer; /* buffer.obj is NULL where there is nothing to release */
} Argument;

/* Open an argument of any type but bytes itself. Returns 0, or -1 with an exception that names the argument. */
int argument_open_other(Argument *argument, PyObject *object, const char *name);

/* Open a buffer that can be written to. Returns 0, or -1 with an exception that names it. */
int argument_open_writable(Py_buffer *view, PyObject *object, const char *name);

/* Let the TypeError of an argument that isn't an int name it; return -1. */
int raise_no_int(PyObject *object, const char *name);

/* Returns 0 for a mask of 4 bytes, or -1 with a ValueError. */
int argument_check_mask(const Argument *mask);

/* Raise the TypeError of a Python function with these parameters, `least` of which have no default; return NULL. */
PyObject *raise_wrong_count(
    const char *function, Py_ssize_t given, const char *const *names, Py_ssize_t least, Py_ssize_t most);

/* Raise the TypeError of an argument that isn't of the `wanted` kind; return NULL. */
PyObject *raise_wrong_type(PyObject *object, const char *name, const char *wanted);

/* A tuple of new references to objects that are given away, or NULL where one of them is. */
PyObject *pack(PyObject **objects, Py_ssize_t count);

/* Open an argument. Returns 0, or -1 with an exception that names it: then there is nothing to close. */
static inline int
argument_open(Argument *argument, PyObject *object, const char *name)
{
    if (!PyBytes_CheckExact(object)) {
        return argument_open_other(argument, object, name);
    }
    argument->bytes = (const unsigned char *)PyBytes_AsString(object);
    argument->length = Py_SIZE(object);
    argument->buffer.obj = NULL;
    return 0;
}

/* Read an int, clipped to what a Py_ssize_t holds. Returns 0, or -1 with an exception that names the argument. */
static inline int
argument_as_size(Py_ssize_t *size, PyObject *object, const char *name)
{
    *size = PyNumber_AsSsize_t(object, NULL);
    return *size == -1 && PyErr_Occurred() ? raise_no_int(object, name) : 0;
}

static inline PyObject *
new_none(void)
{
    Py_INCREF(Py_None);
    return Py_None;
}

static inline void
argument_close(Argument *argument)
{
    if (argument->buffer.obj != NULL) {
        PyBuffer_Release(&argument->buffer);
    }
}

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
