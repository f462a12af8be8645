/* Arguments and results. An argument that holds bytes is bytes, str (as UTF-8), or anything with a contiguous buffer.

   A function opens each argument, uses its bytes, and closes it: the bytes are borrowed, never copied. */

#ifndef TORNADO_SPEEDUPS_ARGS_H
#define TORNADO_SPEEDUPS_ARGS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    const unsigned char *bytes;
    Py_ssize_t length;
    Py_buffer buffer; /* buffer.obj is NULL where there is nothing to release */
} BytesArg;

#ifdef _MSC_VER
#define NOT_INLINED __declspec(noinline)
#else
#define NOT_INLINED __attribute__((noinline))
#endif

/* Raise the TypeError of an argument that isn't of the `wanted` kind; return NULL. */
static PyObject *
raise_wrong_type(PyObject *object, const char *name, const char *wanted)
{
    PyErr_Clear();
    PyObject *type_name = PyType_GetName(Py_TYPE(object));
    if (type_name != NULL) {
        PyErr_Format(PyExc_TypeError, "%s must be %s, not %U", name, wanted, type_name);
        Py_DecRef(type_name);
    }
    return NULL;
}

/* Request a buffer as memoryview() does, so that every exporter answers C and Python alike. PyBUF_WRITABLE isn't part of
   it, because exporters refuse that in words of their own. Returns 0, or -1 with an exception. */
static inline int
request_buffer(Py_buffer *view, PyObject *object, const char *name, const char *wanted)
{
    if (PyObject_GetBuffer(object, view, PyBUF_FULL_RO) == 0) {
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        raise_wrong_type(object, name, wanted);
    }
    return -1;
}

/* Returns 0 for a contiguous buffer; otherwise releases it and returns -1 with an exception. */
static int
check_contiguous(Py_buffer *view, const char *name)
{
    if (PyBuffer_IsContiguous(view, 'C')) {
        return 0;
    }
    PyBuffer_Release(view);
    PyErr_Format(PyExc_BufferError, "%s must be contiguous", name);
    return -1;
}

/* Open a contiguous buffer to write to. Returns 0, or -1 with an exception. Not inlined: see open_other_arg(). */
static NOT_INLINED int
open_writable_buffer(Py_buffer *view, PyObject *object, const char *name)
{
    static const char wanted[] = "a writable bytes-like object";
    if (request_buffer(view, object, name, wanted) < 0) {
        return -1;
    }
    if (view->readonly) {
        PyBuffer_Release(view);
        raise_wrong_type(object, name, wanted);
        return -1;
    }
    return check_contiguous(view, name);
}

/* Open an argument of any type but bytes itself. Returns 0, or -1 with an exception that names the argument. Not inlined,
   because callers would then save registers for it before every call that passes bytes. */
static NOT_INLINED int
open_other_arg(BytesArg *argument, PyObject *object, const char *name)
{
    if (PyUnicode_Check(object)) {
        /* The UTF-8 form lives as long as the str does. */
        argument->bytes = (const unsigned char *)PyUnicode_AsUTF8AndSize(object, &argument->length);
        argument->buffer.obj = NULL;
        return argument->bytes == NULL ? -1 : 0;
    }
    if (request_buffer(&argument->buffer, object, name, "a bytes-like object or str") < 0
        || check_contiguous(&argument->buffer, name) < 0) {
        return -1;
    }
    argument->bytes = argument->buffer.buf;
    argument->length = argument->buffer.len;
    return 0;
}

/* Open an argument. Returns 0, or -1 with an exception that names it: then there is nothing to close. */
static inline int
open_arg(BytesArg *argument, PyObject *object, const char *name)
{
    if (!PyBytes_CheckExact(object)) {
        return open_other_arg(argument, object, name);
    }
    argument->bytes = (const unsigned char *)PyBytes_AsString(object);
    argument->length = Py_SIZE(object);
    argument->buffer.obj = NULL;
    return 0;
}

static inline void
close_arg(BytesArg *argument)
{
    if (argument->buffer.obj != NULL) {
        PyBuffer_Release(&argument->buffer);
    }
}

/* Add to the TypeError of an argument that isn't an int what it is; return -1. */
static int
raise_not_int(PyObject *object, const char *name)
{
    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        raise_wrong_type(object, name, "an int");
    }
    return -1;
}

/* Read an int, clipped to what a Py_ssize_t holds. Returns 0, or -1 with an exception that names the argument. */
static inline int
read_size(Py_ssize_t *size, PyObject *object, const char *name)
{
    *size = PyNumber_AsSsize_t(object, NULL);
    return *size == -1 && PyErr_Occurred() ? raise_not_int(object, name) : 0;
}

/* Returns 0 for a mask of 4 bytes, or -1 with a ValueError. */
static int
check_mask(const BytesArg *mask)
{
    if (mask->length == 4) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "mask must be 4 bytes, not %zd", mask->length);
    return -1;
}

/* "'a'", "'a' and 'b'", "'a', 'b', and 'c'": as CPython lists them. */
static PyObject *
quote_names(const char *const *names, Py_ssize_t count)
{
    PyObject *list = PyUnicode_FromFormat("'%s'", names[0]);
    for (Py_ssize_t i = 1; list != NULL && i < count; i++) {
        const char *comma = count > 2 ? "," : "";
        PyObject *longer = PyUnicode_FromFormat("%U%s%s '%s'", list, comma, i + 1 < count ? "" : " and", names[i]);
        Py_DecRef(list);
        list = longer;
    }
    return list;
}

static PyObject *
raise_missing(const char *function, const char *const *names, Py_ssize_t count)
{
    PyObject *list = quote_names(names, count);
    if (list != NULL) {
        PyErr_Format(PyExc_TypeError, "%s() missing %zd required positional argument%s: %U",
                     function, count, count == 1 ? "" : "s", list);
        Py_DecRef(list);
    }
    return NULL;
}

/* Raise the TypeError of a Python function with these parameters (`least` have no default), and return NULL. */
static PyObject *
raise_wrong_count(const char *function, Py_ssize_t given, const char *const *names, Py_ssize_t least, Py_ssize_t most)
{
    if (given < least) {
        return raise_missing(function, names + given, least - given);
    }
    if (least < most) {
        return PyErr_Format(PyExc_TypeError, "%s() takes from %zd to %zd positional arguments but %zd were given",
                            function, least, most, given);
    }
    return PyErr_Format(
        PyExc_TypeError, "%s() takes %zd positional arguments but %zd were given", function, most, given);
}

/* Return a tuple of objects whose references are given away, or NULL if one of them is NULL. */
static PyObject *
pack(PyObject **objects, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    int missing = tuple == NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        missing |= objects[i] == NULL;
        if (tuple == NULL) {
            Py_DecRef(objects[i]);
        } else {
            PyTuple_SetItem(tuple, i, objects[i]);
        }
    }
    if (missing) {
        Py_DecRef(tuple);
        return NULL;
    }
    return tuple;
}

static inline PyObject *
new_none(void)
{
    Py_IncRef(Py_None); /* no inlined Py_INCREF() of 3.11, which counts up the immortal None of later versions */
    return Py_None;
}

#endif
