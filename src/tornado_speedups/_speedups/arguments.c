/* The slower ways into arguments.h: everything that isn't exactly bytes. */

#include "arguments.h"

static int
open_str(Argument *argument, PyObject *object)
{
    /* The UTF-8 form lives as long as the str does. */
    argument->bytes = (const unsigned char *)PyUnicode_AsUTF8AndSize(object, &argument->length);
    argument->buffer.obj = NULL;
    return argument->bytes == NULL ? -1 : 0;
}

static void
raise_wrong_type(PyObject *object, const char *name)
{
    PyErr_Clear();
    PyObject *type_name = PyType_GetName(Py_TYPE(object));
    if (type_name != NULL) {
        PyErr_Format(PyExc_TypeError, "%s must be a bytes-like object or str, not %U", name, type_name);
        Py_DecRef(type_name);
    }
}

static int
open_buffer(Argument *argument, PyObject *object, const char *name)
{
    /* The whole request, as memoryview() makes it, so that every exporter answers C and Python alike. */
    if (PyObject_GetBuffer(object, &argument->buffer, PyBUF_FULL_RO) < 0) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            raise_wrong_type(object, name);
        }
        return -1;
    }
    if (!PyBuffer_IsContiguous(&argument->buffer, 'C')) {
        PyBuffer_Release(&argument->buffer);
        PyErr_Format(PyExc_BufferError, "%s must be contiguous", name);
        return -1;
    }
    argument->bytes = argument->buffer.buf;
    argument->length = argument->buffer.len;
    return 0;
}

int
argument_open_other(Argument *argument, PyObject *object, const char *name)
{
    return PyUnicode_Check(object) ? open_str(argument, object) : open_buffer(argument, object, name);
}
