/* Calls of Python from the methods of types, exceptions that C keeps while it goes on, and the parts of a connection. */

#ifndef TORNADO_SPEEDUPS_CALLS_H
#define TORNADO_SPEEDUPS_CALLS_H

#include "args.h"
#include "fields.h"

/* A connection while one of its methods runs. */
typedef struct {
    State *state;
    PyObject *self; /* borrowed; so are the parts in methods of Transport */
    PyObject *transport;
    PyObject *reader;
    PyObject *writer;
    PyObject *stream;
} Link;

/* The objects in the field `shared` of a Transport, which is a tuple. */
enum {
    ASYNCIO,
    ENTER_TASK,
    LEAVE_TASK,
    WRITE_FUTURE,
    PLAIN_STREAM,
    COUNT_REFERENCES,
    COUNT_WEAK_REFERENCES,
    COROUTINE,
    TASK,
    MONOTONIC,
};

#define ATTRIBUTE(link, object, name) PyObject_GetAttr(object, (link)->state->names[NAME_##name])
#define CALL(link, object, name) PyObject_CallMethodObjArgs(object, (link)->state->names[NAME_##name], NULL)
#define CALL_WITH(link, object, name, ...)                                                                            \
    PyObject_CallMethodObjArgs(object, (link)->state->names[NAME_##name], __VA_ARGS__, NULL)
#define GET_PART(link, object, Type, name, type) check_type((link)->state, GET((link)->state, object, Type, name), type)

/* Open a connection with the parts that every method needs. Returns 0, or -1 with an exception: then there is nothing to
   close. */
static int
open_connection(Link *link, PyObject *self, PyTypeObject *type)
{
    link->state = PyType_GetModuleState(type);
    link->self = self;
    link->reader = link->writer = link->stream = NULL;
    link->transport = GET_PART(link, self, Connection, _transport, TRANSPORT);
    return link->transport == NULL ? -1 : 0;
}

/* Load more parts of a connection that is open. Each returns 0, or -1 with an exception. */

static int
load_reader(Link *link)
{
    link->reader = GET_PART(link, link->transport, Transport, _reader, READER);
    return link->reader == NULL ? -1 : 0;
}

static int
load_writer(Link *link)
{
    link->writer = GET_PART(link, link->transport, Transport, _writer, WRITER);
    return link->writer == NULL ? -1 : 0;
}

static int
load_stream(Link *link)
{
    link->stream = GET(link->state, link->transport, Transport, stream);
    return link->stream == NULL ? -1 : 0;
}

static void
close_connection(Link *link)
{
    Py_DecRef(link->stream);
    Py_DecRef(link->writer);
    Py_DecRef(link->reader);
    Py_DecRef(link->transport);
}

/* Return one of the shared objects; NULL with an exception. */
static PyObject *
get_shared(const Link *link, Py_ssize_t index)
{
    PyObject *shared = GET(link->state, link->transport, Transport, shared);
    PyObject *found = shared == NULL ? NULL : PyTuple_GetItem(shared, index);
    Py_IncRef(found);
    Py_DecRef(shared);
    return found;
}

/* Call one of the shared objects with one argument or none, which is NULL. Returns its result; NULL with an exception. */
static PyObject *
call_shared(const Link *link, Py_ssize_t index, PyObject *argument)
{
    PyObject *callable = get_shared(link, index);
    PyObject *result = callable == NULL ? NULL : PyObject_CallFunctionObjArgs(callable, argument, NULL);
    Py_DecRef(callable);
    return result;
}

/* Returns 1 if an object is of a shared type, 0 if not, -1 with an exception. */
static int
is_of_shared(const Link *link, Py_ssize_t index, PyObject *object)
{
    PyObject *type = get_shared(link, index);
    int found = type == NULL ? -1 : (PyObject *)Py_TYPE(object) == type;
    Py_DecRef(type);
    return found;
}

/* Returns 1 if nest_asyncio is active, 0 if not, -1 with an exception. */
static int
is_reentrant(const Link *link)
{
    PyObject *names = get_shared(link, ASYNCIO);
    int found = names == NULL ? -1 : PyDict_Contains(names, link->state->names[NAME__nest_patched]);
    Py_DecRef(names);
    return found;
}

static inline PyObject *
share(PyObject *object)
{
    Py_IncRef(object);
    return object;
}

/* Return the exception that is raised, which isn't any more then; NULL without one. */
static PyObject *
take_error(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(error, traceback);
    }
    Py_DecRef(traceback);
    Py_DecRef(type);
    return error;
#endif
}

/* Raise an exception again, whose reference is given away; nothing for NULL. */
static void
raise_error(PyObject *error)
{
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DecRef(error);
    }
}

/* Return 0, or -1 with a TypeError for arguments of a method that has none. */
static int
check_no_arguments(const char *method, Py_ssize_t count, PyObject *names)
{
    if (count == 0 && names == NULL) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s() takes no arguments", method);
    return -1;
}

#endif
