/* Frames on their way to the socket: the methods of TransportBase, and how a frame is sent from a handler. */

#ifndef TORNADO_SPEEDUPS_TRANSPORT_H
#define TORNADO_SPEEDUPS_TRANSPORT_H

#include "calls.h"
#include "frames.h"

static int
resolve_future(const Link *link, PyObject *future)
{
    int done = is_true(CALL(link, future, done));
    return done ? (done < 0 ? -1 : 0) : drop(CALL_WITH(link, future, set_result, Py_None));
}

/* Returns the result of a shared function that counts something of an object; -1 with an exception. */
static Py_ssize_t
count_of(const Link *link, int function, PyObject *object)
{
    PyObject *result = call_shared(link, function, object);
    Py_ssize_t count = result == NULL ? -1 : PyNumber_AsSsize_t(result, NULL);
    Py_DecRef(result);
    return count;
}

/* Returns 1 if nothing but the caller knows a future that isn't done, and nothing will; 0 if something may; -1 with an
   exception. */
static int
is_forgotten(const Link *link, PyObject *future)
{
    Py_ssize_t references = count_of(link, COUNT_REFERENCES, future);
    if (references != 1) {
        return references < 0 ? -1 : 0;
    }
    Py_ssize_t weak = count_of(link, COUNT_WEAK_REFERENCES, future);
    int known = weak < 0 ? -1 : weak > 0;
    known = known ? known : is_some(ATTRIBUTE(link, future, _callbacks));
    known = known ? known : is_some(ATTRIBUTE(link, future, _source_traceback)); /* in debug mode */
    return known < 0 ? -1 : !known;
}

/* Resolve a future, or keep it for the next frame: making one takes a tenth of all the work for a message. */
static int
resolve_or_keep(const Link *link, PyObject *future)
{
    int done = is_true(CALL(link, future, done));
    int forgotten = done ? 0 : is_forgotten(link, future);
    if (done) {
        return done < 0 ? -1 : 0;
    }
    if (forgotten > 0) { /* without its reference to the transport, which would be a cycle */
        int status = PyObject_SetAttr(future, link->state->names[NAME_sender], Py_None);
        return status < 0 ? -1 : SET(link->state, link->transport, Transport, spare, future);
    }
    return forgotten < 0 ? -1 : drop(CALL_WITH(link, future, set_result, Py_None));
}

/* Resolve several futures. New ones go to another list meanwhile. */
static int
resolve_several(const Link *link, PyObject *futures)
{
    PyObject *empty = PyList_New(0);
    int status = empty == NULL || PyList_Size(futures) < 0 ? -1
        : SET(link->state, link->transport, Transport, sent, empty);
    for (Py_ssize_t i = 0; status == 0 && i < PyList_Size(futures); i++) {
        PyObject *future = PyList_GetItem(futures, i);
        status = future == NULL ? -1 : resolve_future(link, future);
    }
    Py_DecRef(empty);
    return status;
}

/* Resolve or keep the first future. Returns 0, or -1 with an exception. */
static int
resolve_latest(const Link *link)
{
    PyObject *future = GET(link->state, link->transport, Transport, latest);
    int status = future == NULL ? -1 : SET(link->state, link->transport, Transport, latest, Py_None);
    if (status == 0) {
        status = resolve_or_keep(link, future);
    }
    Py_DecRef(future);
    return status;
}

/* Resolve the futures of what was sent. Returns 0, or -1 with an exception. */
static int
resolve_all(const Link *link)
{
    int latest = IS_SOME(link->state, link->transport, Transport, latest);
    if (latest < 0 || (latest > 0 && resolve_latest(link) < 0)) {
        return -1;
    }
    int sent = IS_TRUE(link->state, link->transport, Transport, sent);
    if (sent <= 0) {
        return sent;
    }
    PyObject *futures = GET(link->state, link->transport, Transport, sent);
    int status = futures == NULL ? -1 : resolve_several(link, futures);
    Py_DecRef(futures);
    return status;
}

static PyObject *
resolve_sent(PyObject *self, PyTypeObject *type, PyObject *const *Py_UNUSED(arguments), Py_ssize_t count,
             PyObject *names)
{
    Link link = {.state = PyType_GetModuleState(type), .self = self, .transport = self};
    if (check_no_arguments("resolve_sent", count, names) < 0 || resolve_all(&link) < 0) {
        return NULL;
    }
    return share(Py_None);
}

/* Give the frame to the socket. Returns how many bytes it has taken, or -1 with an exception. */
static Py_ssize_t
write_to_socket(const Link *link, PyObject *frame)
{
    PyObject *sent = CALL_WITH(link, link->stream, write_to_fd, frame);
    Py_ssize_t count = sent == NULL ? -1 : PyNumber_AsSsize_t(sent, NULL);
    Py_DecRef(sent);
    return count;
}

/* Go on with a frame that the socket hasn't taken as a whole. Returns 0, or -1 with an exception. */
static int
keep_unsent(const Link *link, PyObject *frame, PyObject *future, Py_ssize_t sent)
{
    PyObject *error = NULL;
    if (sent < 0) {
        if (!PyErr_ExceptionMatches(PyExc_OSError)) {
            return -1;
        }
        error = take_error();
        sent = 0;
    }
    PyObject *count = PyLong_FromSsize_t(sent);
    int status = count == NULL ? -1
        : drop(CALL_WITH(link, link->transport, keep_unsent, frame, count, future, error ? error : Py_None));
    Py_DecRef(count);
    Py_DecRef(error);
    return status;
}

/* Keep a future until it is resolved, the first one by itself. Returns 0, or -1 with an exception. */
static int
note_sent(const Link *link, PyObject *future, int defers)
{
    int others = defers ? IS_SOME(link->state, link->transport, Transport, latest) : 1;
    others = others ? others : IS_TRUE(link->state, link->transport, Transport, sent);
    if (others <= 0) {
        return others < 0 ? -1 : SET(link->state, link->transport, Transport, latest, future);
    }
    PyObject *futures = GET(link->state, link->transport, Transport, sent);
    int status = futures == NULL ? -1 : PyList_Append(futures, future);
    Py_DecRef(futures);
    return status;
}

/* Returns 0, or -1 with an exception. */
static int
send_frame(const Link *link, PyObject *frame, PyObject *future, int defers)
{
    Py_ssize_t sent = write_to_socket(link, frame);
    if (sent != Py_SIZE(frame)) {
        return keep_unsent(link, frame, future, sent);
    }
    if (!defers && drop(CALL_WITH(link, link->transport, resolve_later, future)) < 0) {
        return -1;
    }
    return note_sent(link, future, defers);
}

/* Return a future; NULL with an exception. The event loop that runs is found faster than given. */
static PyObject *
make_future(const Link *link, int defers)
{
    if (!defers) {
        return CALL(link, link->transport, make_future);
    }
    PyObject *spare = GET(link->state, link->transport, Transport, spare);
    if (spare == NULL || spare != Py_None) {
        return spare == NULL || SET(link->state, link->transport, Transport, spare, Py_None) == 0 ? spare : NULL;
    }
    Py_DecRef(spare);
    return call_shared(link, WRITE_FUTURE, NULL);
}

/* The same with what has sent the frame. */
static PyObject *
make_sent_future(const Link *link, int defers)
{
    PyObject *future = make_future(link, defers);
    int eager = future == NULL ? -1 : IS_TRUE(link->state, link->transport, Transport, eager);
    PyObject *sender = eager ? link->transport : Py_None;
    if (eager < 0 || PyObject_SetAttr(future, link->state->names[NAME_sender], sender) < 0) {
        Py_DecRef(future);
        return NULL;
    }
    return future;
}

/* Send a frame, or hold it back behind others. Returns 0, or -1 with an exception. */
static int
send_or_hold(const Link *link, PyObject *frame, PyObject *future, int defers)
{
    int held = IS_TRUE(link->state, link->writer, Writer, holds);
    held = held ? held : IS_TRUE(link->state, link->writer, Writer, frames);
    if (held) {
        return held < 0 ? -1 : drop(CALL_WITH(link, link->transport, hold, frame, future));
    }
    return send_frame(link, frame, future, defers);
}

/* Send a frame while the stream has nothing to send before it. Returns its future; NULL with an exception. */
static PyObject *
send_directly(const Link *link, PyObject *frame)
{
    int defers = IS_TRUE(link->state, link->transport, Transport, defers);
    PyObject *future = defers < 0 ? NULL : make_sent_future(link, defers);
    if (future == NULL || ADD(link->state, link->transport, Transport, _turn_bytes, -Py_SIZE(frame)) < 0
        || send_or_hold(link, frame, future, defers) < 0) {
        Py_DecRef(future);
        return NULL;
    }
    return future;
}

#define METHOD(name, parameters, doc)                                                                                  \
    {#name, (PyCFunction)(void (*)(void))name, METH_METHOD | METH_FASTCALL | METH_KEYWORDS,                            \
     #name "($self" parameters ")\n--\n\n" doc}

static PyMethodDef no_methods[] = {{NULL, NULL, 0, NULL}};

static PyMethodDef transport_methods[] = {
    METHOD(resolve_sent, "", "Resolve the futures of what was sent."),
    {NULL, NULL, 0, NULL},
};

DEFINE_TYPE(Reader, READER_FIELDS, no_methods)
DEFINE_TYPE(Writer, WRITER_FIELDS, no_methods)
DEFINE_TYPE(Transport, TRANSPORT_FIELDS, transport_methods)

#endif
