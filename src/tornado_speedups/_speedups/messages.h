/* One message and its answer: what a handler is called with, and what it writes. */

#ifndef TORNADO_SPEEDUPS_MESSAGES_H
#define TORNADO_SPEEDUPS_MESSAGES_H

#include "tasks.h"
#include "transport.h"

#define TEXT 0x81
#define BINARY 0x82
#define LONG_FRAME (64 * 1024)
#define WRITE_MESSAGE "ConnectionBase.write_message"

/* Frames that arrive */

/* Return the argument of on_message(); NULL with an exception. */
static PyObject *
make_message(long head, PyObject *payload)
{
    if (head != TEXT) {
        return share(payload);
    }
    const char *bytes = PyBytes_AsString(payload);
    return bytes == NULL ? NULL : PyUnicode_DecodeUTF8(bytes, Py_SIZE(payload), NULL);
}

/* Return what a method of Python returns for the exception that is raised; NULL with another one. */
static PyObject *
treat_error(const Link *link, int method)
{
    PyObject *error = take_error();
    PyObject *result = PyObject_CallMethodObjArgs(link->self, link->state->names[method], error, NULL);
    Py_DecRef(error);
    return result;
}

static PyObject *
call_handler(const Link *link, PyObject *message)
{
    PyObject *handler = GET(link->state, link->self, Connection, handler);
    PyObject *method = handler == NULL ? NULL : ATTRIBUTE(link, handler, on_message);
    Py_DecRef(handler);
    if (method == NULL) { /* errors of a property end the connection, as in Tornado */
        return NULL;
    }
    PyObject *result = PyObject_CallFunctionObjArgs(method, message, NULL);
    Py_DecRef(method);
    if (result == NULL) {
        return treat_error(link, NAME__treat_error);
    }
    if (result == Py_None) {
        return result;
    }
    PyObject *pending = handle_result(link, result);
    Py_DecRef(result);
    return pending;
}

/* Returns None, or a future to wait for; NULL with an exception. */
static PyObject *
handle_message(const Link *link, long head, PyObject *payload)
{
    Py_ssize_t size = PyObject_Size(payload);
    if (size < 0 || ADD(link->state, link->self, Connection, _message_bytes_in, size) < 0) {
        return NULL;
    }
    PyObject *message = make_message(head, payload);
    if (message == NULL) {
        return PyErr_ExceptionMatches(PyExc_UnicodeDecodeError) ? treat_error(link, NAME__refuse_text) : NULL;
    }
    PyObject *pending = call_handler(link, message);
    Py_DecRef(message);
    return pending;
}

/* Returns 1 for a frame that is a whole message and not compressed, 0 for others, -1 with an exception. */
static int
is_plain_frame(const Link *link, long head, PyObject *payload)
{
    if ((head != TEXT && head != BINARY) || !PyBytes_CheckExact(payload)) {
        return 0;
    }
    int fragmented = IS_SOME(link->state, link->reader, Reader, fragments);
    if (fragmented) {
        return fragmented < 0 ? -1 : 0;
    }
    PyObject *limit = GET(link->state, link->reader, Reader, max_message_size);
    Py_ssize_t most = limit == NULL ? -1 : PyNumber_AsSsize_t(limit, NULL);
    Py_DecRef(limit);
    return most == -1 && PyErr_Occurred() ? -1 : Py_SIZE(payload) <= most;
}

/* Returns None, or a future to wait for; NULL with an exception. */
static PyObject *
handle_frame(const Link *link, PyObject *head, PyObject *payload)
{
    long first = PyLong_AsLong(head);
    int plain = first == -1 && PyErr_Occurred() ? -1 : is_plain_frame(link, first, payload);
    if (plain > 0) {
        return handle_message(link, first, payload);
    }
    return plain < 0 ? NULL : CALL_WITH(link, link->self, _handle_other_frame, head, payload);
}

/* Call a function with the first byte of a frame and its payload, in a method of that name. */
static PyObject *
handle_arguments(const char *name, PyObject *(*handle)(const Link *, PyObject *, PyObject *), PyObject *self,
                 PyTypeObject *type, PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const parameters[] = {"self", "head", "payload"};
    Link link;
    if (count != 2) {
        return raise_wrong_count(name, count + 1, parameters, 3, 3);
    }
    if (open_connection(&link, self, type) < 0) {
        return NULL;
    }
    PyObject *pending = load_reader(&link) < 0 ? NULL : handle(&link, arguments[0], arguments[1]);
    close_connection(&link);
    return pending;
}

static PyObject *
_handle_frame(PyObject *self, PyTypeObject *type, PyObject *const *arguments, Py_ssize_t count,
              PyObject *Py_UNUSED(names))
{
    return handle_arguments("_handle_frame", handle_frame, self, type, arguments, count);
}

static PyObject *
handle_plain_message(const Link *link, PyObject *head, PyObject *payload)
{
    long first = PyLong_AsLong(head);
    return first == -1 && PyErr_Occurred() ? NULL : handle_message(link, first, payload);
}

static PyObject *
_handle_plain_message(PyObject *self, PyTypeObject *type, PyObject *const *arguments, Py_ssize_t count,
                      PyObject *Py_UNUSED(names))
{
    return handle_arguments("_handle_plain_message", handle_plain_message, self, type, arguments, count);
}

/* Messages that are written */

/* Open a message that isn't long, of bytes or ASCII text. Returns 1, 0 for another one, -1 with an exception. */
static int
open_message(BytesArg *argument, PyObject *message)
{
    argument->buffer.obj = NULL;
    if (PyBytes_CheckExact(message)) {
        argument->bytes = (const unsigned char *)PyBytes_AsString(message);
        argument->length = Py_SIZE(message);
        return argument->length < LONG_FRAME;
    }
    if (!PyUnicode_CheckExact(message)) {
        return 0;
    }
    Py_ssize_t length = PyUnicode_GetLength(message);
    if (length >= LONG_FRAME) {
        return 0;
    }
    argument->bytes = (const unsigned char *)PyUnicode_AsUTF8AndSize(message, &argument->length);
    if (argument->bytes == NULL) { /* lone surrogates: Python raises that, too */
        PyErr_Clear();
    }
    return argument->bytes != NULL && argument->length == length;
}

/* Returns 1 if an answer may go to the socket at once, as it is; 0 if not; -1 with an exception. */
static int
is_direct(Link *link)
{
    const State *state = link->state;
    int direct = IS_TRUE(state, link->transport, Transport, writes);
    if (direct <= 0) {
        return direct;
    }
    int obstacle = IS_SOME(state, link->self, Connection, _compressor);
    obstacle = obstacle ? obstacle : IS_TRUE(state, link->self, Connection, mask_outgoing);
    obstacle = obstacle ? obstacle : load_stream(link);
    obstacle = obstacle ? obstacle : is_true(ATTRIBUTE(link, link->stream, _closed));
    obstacle = obstacle ? obstacle : is_true(ATTRIBUTE(link, link->stream, _write_futures));
    obstacle = obstacle ? obstacle : is_reentrant(link);
    obstacle = obstacle ? obstacle : load_writer(link);
    return obstacle < 0 ? -1 : !obstacle;
}

/* Return a frame that isn't masked; NULL with an exception. */
static PyObject *
build_plain_frame(unsigned char head, const BytesArg *payload)
{
    Parts parts;
    parts.head = head;
    parts.payload.bytes = payload->bytes;
    parts.payload.length = payload->length;
    parts.mask.length = 0;
    return measure_parts(&parts) < 0 ? NULL : build_from_parts(&parts);
}

static PyObject *
write_directly(const Link *link, unsigned char head, const BytesArg *payload)
{
    PyObject *frame = build_plain_frame(head, payload);
    if (frame == NULL || ADD(link->state, link->self, Connection, _message_bytes_out, payload->length) < 0
        || ADD(link->state, link->self, Connection, _wire_bytes_out, Py_SIZE(frame)) < 0) {
        Py_DecRef(frame);
        return NULL;
    }
    PyObject *future = send_directly(link, frame);
    Py_DecRef(frame);
    return future;
}

/* Set an argument of write_message() that was given by its name. Returns 0, or -1 with an exception. */
static int
set_named(const Link *link, PyObject **arguments, PyObject *name, PyObject *value)
{
    int index = PyUnicode_Compare(name, link->state->names[NAME_binary]) == 0 ? 1 : 0;
    if (index == 0 && PyUnicode_Compare(name, link->state->names[NAME_message]) != 0) {
        PyErr_Format(PyExc_TypeError, WRITE_MESSAGE "() got an unexpected keyword argument '%U'", name);
        return -1;
    }
    if (arguments[index] != NULL) {
        PyErr_Format(PyExc_TypeError, WRITE_MESSAGE "() got multiple values for argument '%U'", name);
        return -1;
    }
    arguments[index] = value;
    return 0;
}

/* Find message and binary, which stays NULL where it isn't given. Returns 0, or -1 with an exception. */
static int
find_arguments(const Link *link, PyObject **found, PyObject *const *given, Py_ssize_t count, PyObject *names)
{
    static const char *const parameters[] = {"self", "message", "binary"};
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    found[0] = count > 0 ? given[0] : NULL;
    found[1] = count > 1 ? given[1] : NULL;
    for (Py_ssize_t i = 0; i < named; i++) {
        if (set_named(link, found, PyTuple_GetItem(names, i), given[count + i]) < 0) {
            return -1;
        }
    }
    if (count > 2 || found[0] == NULL) {
        raise_wrong_count(WRITE_MESSAGE, count + 1, parameters, 2, 3);
        return -1;
    }
    return 0;
}

/* Returns the future; NULL with an exception. */
static PyObject *
write_arguments(Link *link, PyObject *message, PyObject *binary)
{
    BytesArg payload;
    int is_binary = binary == NULL ? 0 : is_true(share(binary));
    int direct = is_binary < 0 ? -1 : open_message(&payload, message);
    direct = direct > 0 ? is_direct(link) : direct;
    if (direct > 0) {
        return write_directly(link, is_binary ? BINARY : TEXT, &payload);
    }
    return direct < 0 ? NULL
        : CALL_WITH(link, link->self, _write_any_message, message, is_binary ? Py_True : Py_False);
}

static PyObject *
write_message(PyObject *self, PyTypeObject *type, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *found[2];
    Link link;
    if (open_connection(&link, self, type) < 0) {
        return NULL;
    }
    PyObject *future = NULL;
    if (find_arguments(&link, found, arguments, count, names) == 0) {
        future = write_arguments(&link, found[0], found[1]);
    }
    close_connection(&link);
    return future;
}

#endif
