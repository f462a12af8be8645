/* Serialize HTTP/1.x heads (RFC 9112) that are plain: names and values are ASCII without line ends. */

#ifndef TORNADO_SPEEDUPS_HTTP_SERIALIZE_H
#define TORNADO_SPEEDUPS_HTTP_SERIALIZE_H

#include "args.h"
#include "mask.h"

/* Add the length of a plain text to `size`. Returns 1, 0 if it isn't plain, -1 with an exception. */
static int
measure_text(PyObject *text, Py_ssize_t *size)
{
    Py_ssize_t length;
    if (!PyUnicode_CheckExact(text)) {
        return 0;
    }
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &length);
    if (bytes == NULL) {
        PyErr_Clear(); /* lone surrogates */
        return 0;
    }
    for (Py_ssize_t i = 0; i < length; i++) {
        if (bytes[i] == '\r' || bytes[i] == '\n' || (unsigned char)bytes[i] >= 0x80) {
            return 0;
        }
    }
    if (length > PY_SSIZE_T_MAX / 2 - *size) {
        PyErr_NoMemory();
        return -1;
    }
    *size += length;
    return 1;
}

static unsigned char *
write_text(unsigned char *to, PyObject *text, unsigned char first, unsigned char second)
{
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &length);
    copy_bytes(to, (const unsigned char *)bytes, (size_t)length);
    to[length] = first;
    to[length + 1] = second;
    return to + length + 2;
}

static PyObject *
write_head(PyObject *line, PyObject *parts, const BytesArg *body, Py_ssize_t size)
{
    PyObject *head = PyBytes_FromStringAndSize(NULL, size + body->length);
    if (head == NULL) {
        return NULL;
    }
    unsigned char *to = write_text((unsigned char *)PyBytes_AsString(head), line, '\r', '\n');
    for (Py_ssize_t i = 0; i < PyList_Size(parts); i += 2) {
        to = write_text(to, PyList_GetItem(parts, i), ':', ' ');
        to = write_text(to, PyList_GetItem(parts, i + 1), '\r', '\n');
    }
    to[0] = '\r';
    to[1] = '\n';
    copy_bytes(to + 2, body->bytes, (size_t)body->length);
    return head;
}

static PyObject *
assemble_head(PyObject *line, PyObject *parts, const BytesArg *body)
{
    Py_ssize_t size = 4;
    int status = measure_text(line, &size);
    for (Py_ssize_t i = 0; status == 1 && i < PyList_Size(parts); i++) {
        size += 2; /* the colon and a space, or CRLF */
        status = measure_text(PyList_GetItem(parts, i), &size);
    }
    if (status < 1) {
        return status < 0 ? NULL : new_none();
    }
    return body->length > PY_SSIZE_T_MAX / 2 - size ? PyErr_NoMemory() : write_head(line, parts, body, size);
}

/* Append the name and a value, for each value in a list. Returns 1, 0 if it isn't a list, -1 with an exception. */
static int
append_field(PyObject *parts, PyObject *name, PyObject *list)
{
    PyObject *values = PyList_CheckExact(list) ? PyList_AsTuple(list) : NULL;
    if (values == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int status = 0;
    for (Py_ssize_t i = 0; status == 0 && i < PyTuple_Size(values); i++) {
        status = PyList_Append(parts, name);
        if (status == 0) {
            status = PyList_Append(parts, PyTuple_GetItem(values, i));
        }
    }
    Py_DecRef(values);
    return status < 0 ? -1 : 1;
}

/* Collect names and values in turn in a list that no other thread knows, then write them. */
static PyObject *
serialize(PyObject *line, PyObject *headers, const BytesArg *body)
{
    PyObject *items = PyDict_Items(headers), *parts = PyList_New(0), *head = NULL;
    int status = items == NULL || parts == NULL ? -1 : 1;
    for (Py_ssize_t i = 0; status == 1 && i < PyList_Size(items); i++) {
        PyObject *item = PyList_GetItem(items, i);
        status = append_field(parts, PyTuple_GetItem(item, 0), PyTuple_GetItem(item, 1));
    }
    if (status >= 0) {
        head = status ? assemble_head(line, parts, body) : new_none();
    }
    Py_DecRef(items);
    Py_DecRef(parts);
    return head;
}

static PyObject *
serialize_head(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"line", "headers", "body"};
    BytesArg body;
    if (count != 3) {
        return raise_wrong_count("serialize_head", count, names, 3, 3);
    }
    if (!PyUnicode_Check(arguments[0])) {
        return raise_wrong_type(arguments[0], "line", "str");
    }
    if (!PyDict_CheckExact(arguments[1])) {
        return raise_wrong_type(arguments[1], "headers", "a dict");
    }
    if (open_arg(&body, arguments[2], "body") < 0) {
        return NULL;
    }
    PyObject *head = serialize(arguments[0], arguments[1], &body);
    close_arg(&body);
    return head;
}

#endif
