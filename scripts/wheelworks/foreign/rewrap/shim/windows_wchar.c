/* wchar_t has 16 bits on Windows: the functions of the C API that take or return such texts.

   A character beyond the BMP takes two units. Unpaired surrogates pass, as they do on Windows.
   Source: https://docs.python.org/3/c-api/unicode.html#wchar-t-support and Objects/unicodeobject.c. */

#include "windows.h"

static PyObject *
decode(const WCHAR *text, ssize_t count)
{
    int order = -1; /* little-endian; a byte order mark is a character like any other */
    return PyUnicode_DecodeUTF16((const char *)text, count * 2, "surrogatepass", &order);
}

/* Return the text as bytes of UTF-16, with the units in *units and their number in *count; NULL with an exception. */
static PyObject *
encode(PyObject *object, const WCHAR **units, ssize_t *count)
{
    PyObject *bytes = PyUnicode_AsEncodedString(object, "utf-16-le", "surrogatepass");
    char *data;
    ssize_t size;
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &data, &size) < 0) {
        return NULL;
    }
    *units = (const WCHAR *)data;
    *count = size / 2;
    return bytes;
}

EXPORT(PyUnicode_FromWideChar, PyObject *)(const WCHAR *text, ssize_t count)
{
    if (text == NULL && count != 0) {
        PyErr_SetString(PyExc_SystemError, "bad argument to internal function");
        return NULL;
    }
    return decode(text ? text : (const WCHAR[]){0}, count < 0 ? (ssize_t)wide_length(text) : count);
}

EXPORT(PyUnicode_AsWideChar, ssize_t)(PyObject *object, WCHAR *to, ssize_t size)
{
    const WCHAR *units;
    ssize_t count;
    PyObject *bytes = encode(object, &units, &count);
    if (bytes == NULL) {
        return -1;
    }
    ssize_t result = count + 1; /* with the zero, where there is no buffer */
    if (to != NULL) {
        result = count < size ? count : size;
        memcpy(to, units, (size_t)result * sizeof(WCHAR));
        if (result < size) {
            to[result] = 0;
        }
    }
    Py_DecRef(bytes);
    return result;
}

static int
contains_zero(const WCHAR *units, ssize_t count)
{
    for (ssize_t i = 0; i < count; i++) {
        if (units[i] == 0) {
            return 1;
        }
    }
    return 0;
}

EXPORT(PyUnicode_AsWideCharString, WCHAR *)(PyObject *object, ssize_t *size)
{
    const WCHAR *units;
    ssize_t count;
    PyObject *bytes = encode(object, &units, &count);
    if (bytes == NULL) {
        return NULL;
    }
    WCHAR *copy = NULL;
    if (size == NULL && contains_zero(units, count)) {
        PyErr_SetString(PyExc_ValueError, "embedded null character");
    } else if ((copy = PyMem_Malloc(((size_t)count + 1) * sizeof(WCHAR))) == NULL) {
        PyErr_NoMemory();
    } else {
        memcpy(copy, units, (size_t)count * sizeof(WCHAR));
        copy[count] = 0;
        if (size != NULL) {
            *size = count;
        }
    }
    Py_DecRef(bytes);
    return copy;
}

/* The narrow text is UTF-8, as the file system's encoding is under Windows and here. */
EXPORT(Py_DecodeLocale, WCHAR *)(const char *text, size_t *size)
{
    int invalid = 0;
    size_t count = to_utf16(text, (size_t)-1, NULL, 0, &invalid);
    WCHAR *copy = invalid ? NULL : PyMem_Malloc(count * sizeof(WCHAR));
    if (size != NULL) {
        *size = copy ? count - 1 : invalid ? (size_t)-2 : (size_t)-1;
    }
    if (copy != NULL) {
        to_utf16(text, (size_t)-1, copy, count, NULL);
    }
    return copy;
}

EXPORT(Py_EncodeLocale, char *)(const WCHAR *text, size_t *position)
{
    int invalid = 0;
    size_t count = to_utf8(text, (size_t)-1, NULL, 0, &invalid);
    char *copy = invalid ? NULL : PyMem_Malloc(count);
    if (position != NULL) {
        *position = (size_t)-1;
    }
    if (copy != NULL) {
        to_utf8(text, (size_t)-1, copy, count, NULL);
    }
    return copy;
}
