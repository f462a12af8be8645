/* From the event loop to the handler: the methods of ConnectionBase, which is the shortest way of a message.

   websocket/plain.py has the same methods in Python, and websocket/protocol.py explains them. Whatever isn't plain is
   done by methods in Python. */

#ifndef TORNADO_SPEEDUPS_CONNECTION_H
#define TORNADO_SPEEDUPS_CONNECTION_H

#include "messages.h"

/* The size of a frame that isn't masked and has no payload. Python takes it: see Transport.is_blind(). */
#define EMPTY_FRAME 2

/* Returns whether a future, whose reference is given away, is done; -1 with an exception. */
static int
is_done(const Link *link, PyObject *future)
{
    int done = future == NULL ? -1 : is_true(CALL(link, future, done));
    Py_DecRef(future);
    return done;
}

/* Returns 1 if something else goes on than waiting for a message, 0 if not, -1 with an exception. */
static int
is_occupied(const Link *link)
{
    const State *state = link->state;
    PyObject *reader = link->reader;
    int waits = IS_SOME(state, link->self, Connection, _run); /* then there is an idle future */
    int found = waits < 0 ? -1 : !waits;
    found = found ? found : IS_SOME(state, link->self, Connection, _busy);
    found = found ? found : IS_TRUE(state, link->self, Connection, _handling);
    found = found ? found : IS_TRUE(state, reader, Reader, frames);
    found = found ? found : IS_TRUE(state, reader, Reader, data);
    found = found ? found : IS_SOME(state, reader, Reader, long_frame);
    found = found ? found : is_true(ATTRIBUTE(link, link->stream, _write_futures));
    found = found ? found : is_reentrant(link);
    return found ? found : is_done(link, GET(state, link->self, Connection, _idle));
}

/* Note whether the socket is empty. Returns 0, or -1 with an exception. */
static int
note_drained(const Link *link, int is_short)
{
    int drained = is_short ? is_of_shared(link, PLAIN_STREAM, link->stream) : 0;
    return drained < 0 ? -1 : SET(link->state, link->transport, Transport, drained, drained ? Py_True : Py_False);
}

/* Return what the socket holds, at most a chunk; NULL with an exception. */
static PyObject *
receive(const Link *link)
{
    PyObject *data = NULL, *socket = ATTRIBUTE(link, link->stream, socket);
    PyObject *chunk = socket == NULL ? NULL : GET(link->state, link->transport, Transport, chunk);
    Py_ssize_t size = chunk == NULL ? -1 : PyNumber_AsSsize_t(chunk, NULL);
    if (size >= 0) {
        data = CALL_WITH(link, socket, recv, chunk);
    }
    Py_ssize_t received = data == NULL ? -1 : PyObject_Size(data);
    if (data != NULL && (received < 0 || note_drained(link, received < size) < 0)) {
        clear_reference(&data);
    }
    Py_DecRef(chunk);
    Py_DecRef(socket);
    return data;
}

/* Give the reader the only frame. Returns 1; 0 if there is more than one frame or a part of one, if the frame is nothing
   but its first two bytes, or if another class of sockets has received something else than bytes; -1 with an exception. */
static int
parse_alone(const Link *link, PyObject *data)
{
    Frame frame;
    if (!PyBytes_CheckExact(data)) {
        return 0;
    }
    const unsigned char *bytes = (const unsigned char *)PyBytes_AsString(data);
    uint64_t size = (uint64_t)PyBytes_Size(data);
    if (!read_frame(&frame, bytes, size) || frame.size != size || size == EMPTY_FRAME) {
        return 0;
    }
    PyObject *pair = make_pair(&frame, bytes);
    int status = pair == NULL ? -1 : SET(link->state, link->reader, Reader, alone, pair);
    Py_DecRef(pair);
    status = status < 0 ? -1 : ADD(link->state, link->reader, Reader, wire_bytes, (Py_ssize_t)size);
    return status < 0 ? -1 : 1;
}

/* Handle the frame in the context of the task. Returns None; NULL with an exception. */
static PyObject *
run_in_context(const Link *link)
{
    PyObject *run = GET(link->state, link->self, Connection, _run);
    PyObject *method = run == NULL ? NULL : GET(link->state, link->self, Connection, _alone);
    PyObject *result = method == NULL ? NULL : PyObject_CallFunctionObjArgs(run, method, NULL);
    Py_DecRef(method);
    Py_DecRef(run);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_RuntimeError)) { /* something else runs in it, or in a task */
        PyErr_Clear();
        return CALL(link, link->self, _wake_alone);
    }
    return result;
}

static PyObject *
handle_data(const Link *link, PyObject *data)
{
    Py_ssize_t size = PyObject_Size(data);
    if (size <= 0) {
        return size < 0 ? NULL : CALL(link, link->stream, close);
    }
    int alone = parse_alone(link, data);
    return alone < 0 ? NULL : alone ? run_in_context(link) : CALL_WITH(link, link->self, _handle_chunk, data);
}

static PyObject *
handle_event(const Link *link)
{
    PyObject *data = receive(link);
    if (data == NULL) {
        return PyErr_ExceptionMatches(PyExc_OSError) ? treat_error(link, NAME__note_read_error) : NULL;
    }
    PyObject *result = handle_data(link, data);
    Py_DecRef(data);
    return result;
}

static PyObject *
_on_event(PyObject *self, PyTypeObject *type, PyObject *const *Py_UNUSED(arguments), Py_ssize_t count, PyObject *names)
{
    Link link;
    if (check_no_arguments("_on_event", count, names) < 0 || open_connection(&link, self, type) < 0) {
        return NULL;
    }
    int occupied = load_reader(&link) < 0 || load_stream(&link) < 0 ? -1 : is_occupied(&link);
    PyObject *result = occupied < 0 ? NULL : occupied ? CALL(&link, self, _on_any_event) : handle_event(&link);
    close_connection(&link);
    return result;
}

/* In the context of the task */

/* Call _enter_task() or _leave_task() of asyncio. Returns 0, or -1 with an exception. */
static int
switch_task(const Link *link, int function, PyObject *task)
{
    PyObject *loop = GET(link->state, link->transport, Transport, loop);
    PyObject *callable = loop == NULL ? NULL : get_shared(link, function);
    int status = callable == NULL ? -1 : drop(PyObject_CallFunctionObjArgs(callable, loop, task, NULL));
    Py_DecRef(callable);
    Py_DecRef(loop);
    return status;
}

static int
begin_handling(const Link *link)
{
    const State *state = link->state;
    int failed = SET(state, link->self, Connection, _handling, Py_True) < 0
        || SET(state, link->transport, Transport, defers, Py_True) < 0
        || SET(state, link->transport, Transport, turn_end, state->zero) < 0;
    return failed ? -1 : 0;
}

static int
end_handling(const Link *link)
{
    const State *state = link->state;
    if (SET(state, link->self, Connection, _handling, Py_False) < 0
        || SET(state, link->transport, Transport, defers, Py_False) < 0) {
        return -1;
    }
    return resolve_all(link);
}

/* Return the frame that parse_alone() has left; NULL with an exception. */
static PyObject *
take_frame(const Link *link)
{
    PyObject *pair = GET(link->state, link->reader, Reader, alone);
    if (pair != NULL && SET(link->state, link->reader, Reader, alone, Py_None) < 0) {
        clear_reference(&pair);
    }
    return pair;
}

/* Handle the next frame. Returns None, or a future to wait for; NULL with an exception. */
static PyObject *
handle_next(const Link *link)
{
    PyObject *frame = begin_handling(link) < 0 ? NULL : take_frame(link);
    PyObject *head = frame == NULL ? NULL : PyTuple_GetItem(frame, 0);
    PyObject *payload = head == NULL ? NULL : PyTuple_GetItem(frame, 1);
    PyObject *pending = payload == NULL ? NULL : handle_frame(link, head, payload);
    Py_DecRef(frame);
    return pending == NULL ? treat_error(link, NAME__raise_in_coroutine) : pending;
}

/* Do what has to be done after the handling, whatever its result is, which is given away and returned. */
static PyObject *
leave_handling(const Link *link, PyObject *task, PyObject *pending)
{
    PyObject *error = pending == NULL ? take_error() : NULL;
    if (end_handling(link) < 0 || switch_task(link, LEAVE_TASK, task) < 0) {
        Py_DecRef(error);
        Py_DecRef(pending);
        return NULL;
    }
    raise_error(error);
    return pending;
}

/* Returns 1 if the coroutine has to look for more, or for the end; 0 if not; -1 with an exception. */
static int
has_more(const Link *link)
{
    int drained = IS_TRUE(link->state, link->transport, Transport, drained);
    return drained > 0 ? IS_TRUE(link->state, link->self, Connection, client_terminated) : drained < 0 ? -1 : 1;
}

/* Wait for an asynchronous handler, whose reference is given away, or let the coroutine go on if it has to. */
static PyObject *
go_on(const Link *link, PyObject *pending)
{
    if (pending != Py_None) {
        PyObject *result = pending == NULL ? NULL : CALL_WITH(link, link->self, _await_handler, pending);
        Py_DecRef(pending);
        return result;
    }
    int more = has_more(link);
    if (more == 0) {
        return pending;
    }
    Py_DecRef(pending);
    return more < 0 ? NULL : CALL_WITH(link, link->self, _wake, Py_None);
}

static PyObject *
handle_in_turn(const Link *link)
{
    PyObject *result = NULL, *task = GET(link->state, link->self, Connection, _task);
    if (task != NULL && switch_task(link, ENTER_TASK, task) == 0) {
        result = go_on(link, leave_handling(link, task, handle_next(link)));
    }
    Py_DecRef(task);
    return result;
}

static PyObject *
_handle_alone(PyObject *self, PyTypeObject *type, PyObject *const *Py_UNUSED(arguments), Py_ssize_t count,
              PyObject *names)
{
    Link link;
    if (check_no_arguments("_handle_alone", count, names) < 0 || open_connection(&link, self, type) < 0) {
        return NULL;
    }
    PyObject *result = load_reader(&link) < 0 ? NULL : handle_in_turn(&link);
    close_connection(&link);
    return result;
}

static PyMethodDef connection_methods[] = {
    METHOD(_on_event, "", "Handle what was received, or the end."),
    METHOD(_handle_alone, "", "Handle a frame while the reader has nothing else."),
    METHOD(_handle_frame, ", head, payload", "Handle a frame; return a future to wait for, or None."),
    METHOD(_handle_plain_message, ", head, payload", "Handle a message; return a future to wait for, or None."),
    METHOD(write_message, ", message, binary=False", "Send a message to the peer, and return its future."),
    {NULL, NULL, 0, NULL},
};

DEFINE_TYPE(Connection, CONNECTION_FIELDS, connection_methods)

/* Returns 0, or -1 with an exception. */
static int
add_types(PyObject *module, State *state)
{
    return add_type(module, state, READER, &Reader_spec) < 0 || add_type(module, state, WRITER, &Writer_spec) < 0
            || add_type(module, state, TRANSPORT, &Transport_spec) < 0
            || add_type(module, state, CONNECTION, &Connection_spec) < 0
        ? -1
        : 0;
}

#endif
