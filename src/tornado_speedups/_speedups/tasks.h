/* Asynchronous handlers: start a coroutine at once, as eager.py explains. */

#ifndef TORNADO_SPEEDUPS_TASKS_H
#define TORNADO_SPEEDUPS_TASKS_H

#include "calls.h"

/* The same as in websocket/transport.py, as a test checks. */
#define MAX_HELD_SECONDS 0.001
#define TURN_BYTES (64 * 1024)

/* Return when a turn ends that begins now, as a float; NULL with an exception. */
static PyObject *
find_turn_end(const Link *link)
{
    PyObject *now = call_shared(link, MONOTONIC, NULL);
    double seconds = now == NULL ? -1.0 : PyFloat_AsDouble(now);
    Py_DecRef(now);
    return seconds == -1.0 && PyErr_Occurred() ? NULL : PyFloat_FromDouble(seconds + MAX_HELD_SECONDS);
}

/* Do what Transport.begin_turn() does, unless a turn has begun. Returns 0, or -1 with an exception. */
static int
begin_turn(const Link *link)
{
    int begun = IS_TRUE(link->state, link->transport, Transport, turn_end);
    if (begun) {
        return begun < 0 ? -1 : 0;
    }
    PyObject *end = find_turn_end(link);
    int failed = end == NULL || SET(link->state, link->transport, Transport, turn_end, end) < 0
        || SET(link->state, link->transport, Transport, deadline, end) < 0
        || SET_COUNT(link->state, link->transport, Transport, _turn_bytes, TURN_BYTES) < 0;
    Py_DecRef(end);
    return failed ? -1 : 0;
}

/* Returns 1 if what a handler has returned is a coroutine that may start at once, 0 if not, -1 with an exception. */
static int
may_start(const Link *link, PyObject *loop, PyObject *awaitable)
{
    int coroutine = is_of_shared(link, COROUTINE, awaitable);
    int eager = coroutine <= 0 ? coroutine : IS_TRUE(link->state, link->transport, Transport, eager);
    if (eager <= 0) {
        return eager;
    }
    int obstacle = is_some(ATTRIBUTE(link, loop, _task_factory));
    obstacle = obstacle ? obstacle : is_true(ATTRIBUTE(link, loop, _debug));
    obstacle = obstacle ? obstacle : is_reentrant(link);
    return obstacle < 0 ? -1 : !obstacle;
}

/* Return a new task, which has run as far as it can; NULL with an exception. */
static PyObject *
start_task(const Link *link, PyObject *loop, PyObject *coroutine)
{
    PyObject *type = get_shared(link, TASK);
    PyObject *options = type == NULL ? NULL : PyDict_New();
    PyObject *objects[] = {share(coroutine)};
    PyObject *arguments = pack(objects, 1);
    PyObject *task = NULL;
    if (options != NULL && arguments != NULL && PyDict_SetItem(options, link->state->names[NAME_loop], loop) == 0
        && PyDict_SetItem(options, link->state->names[NAME_eager_start], Py_True) == 0) {
        task = PyObject_Call(type, arguments, options);
    }
    Py_DecRef(arguments);
    Py_DecRef(options);
    Py_DecRef(type);
    return task;
}

/* Return None for a task that has succeeded, the task for others; NULL with an exception. Its reference is given away. */
static PyObject *
check_task(const Link *link, PyObject *task)
{
    int done = is_true(CALL(link, task, done));
    if (done == 0) {
        done = drop(CALL_WITH(link, link->self, _register_started, task));
        return done < 0 ? (Py_DecRef(task), NULL) : task;
    }
    PyObject *error = done < 0 ? NULL : CALL(link, task, exception);
    if (error == NULL && done > 0) { /* it was cancelled */
        PyErr_Clear();
        return task;
    }
    if (error != NULL && error != Py_None) {
        Py_DecRef(error);
        return task;
    }
    Py_DecRef(task);
    return error;
}

/* Go on with what a handler has returned. Returns None, or a future to wait for; NULL with an exception. */
static PyObject *
handle_result(const Link *link, PyObject *result)
{
    PyObject *loop = GET(link->state, link->transport, Transport, loop);
    int starts = loop == NULL ? -1 : may_start(link, loop, result);
    PyObject *pending = NULL;
    if (starts > 0 && begin_turn(link) == 0) {
        PyObject *task = start_task(link, loop, result);
        pending = task == NULL ? NULL : check_task(link, task);
    } else if (starts == 0) {
        pending = CALL_WITH(link, link->self, _handle_result, result);
    }
    Py_DecRef(loop);
    return pending;
}

#endif
