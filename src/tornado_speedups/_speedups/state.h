/* What belongs to a module: strings that are made once, and the types. It is written while the module is executed, and
   only read afterwards. */

#ifndef TORNADO_SPEEDUPS_STATE_H
#define TORNADO_SPEEDUPS_STATE_H

#include "header_names.h"

/* Names of attributes, in alphabetical order. */
#define NAMES(NAME)                                                                                                    \
    NAME(_alone)                                                                                                       \
    NAME(_await_handler)                                                                                               \
    NAME(_busy)                                                                                                        \
    NAME(_callbacks)                                                                                                   \
    NAME(_closed)                                                                                                      \
    NAME(_compressor)                                                                                                  \
    NAME(_debug)                                                                                                       \
    NAME(_handle_chunk)                                                                                                \
    NAME(_handle_other_frame)                                                                                          \
    NAME(_handle_result)                                                                                               \
    NAME(_handling)                                                                                                    \
    NAME(_idle)                                                                                                        \
    NAME(_message_bytes_in)                                                                                            \
    NAME(_message_bytes_out)                                                                                           \
    NAME(_nest_patched)                                                                                                \
    NAME(_note_read_error)                                                                                             \
    NAME(_on_any_event)                                                                                                \
    NAME(_raise_in_coroutine)                                                                                          \
    NAME(_reader)                                                                                                      \
    NAME(_refuse_text)                                                                                                 \
    NAME(_register_started)                                                                                            \
    NAME(_run)                                                                                                         \
    NAME(_source_traceback)                                                                                            \
    NAME(_task)                                                                                                        \
    NAME(_task_factory)                                                                                                \
    NAME(_transport)                                                                                                   \
    NAME(_treat_error)                                                                                                 \
    NAME(_turn_bytes)                                                                                                  \
    NAME(_wake)                                                                                                        \
    NAME(_wake_alone)                                                                                                  \
    NAME(_wire_bytes_out)                                                                                              \
    NAME(_write_any_message)                                                                                           \
    NAME(_write_futures)                                                                                               \
    NAME(_writer)                                                                                                      \
    NAME(alone)                                                                                                        \
    NAME(binary)                                                                                                       \
    NAME(chunk)                                                                                                        \
    NAME(client_terminated)                                                                                            \
    NAME(close)                                                                                                        \
    NAME(data)                                                                                                         \
    NAME(deadline)                                                                                                     \
    NAME(defers)                                                                                                       \
    NAME(done)                                                                                                         \
    NAME(drained)                                                                                                      \
    NAME(eager)                                                                                                        \
    NAME(eager_start)                                                                                                  \
    NAME(exception)                                                                                                    \
    NAME(fragments)                                                                                                    \
    NAME(frames)                                                                                                       \
    NAME(handler)                                                                                                      \
    NAME(hold)                                                                                                         \
    NAME(holds)                                                                                                        \
    NAME(keep_unsent)                                                                                                  \
    NAME(latest)                                                                                                       \
    NAME(long_frame)                                                                                                   \
    NAME(loop)                                                                                                         \
    NAME(make_future)                                                                                                  \
    NAME(mask_outgoing)                                                                                                \
    NAME(max_message_size)                                                                                             \
    NAME(message)                                                                                                      \
    NAME(on_message)                                                                                                   \
    NAME(recv)                                                                                                         \
    NAME(resolve_later)                                                                                                \
    NAME(sender)                                                                                                       \
    NAME(sent)                                                                                                         \
    NAME(set_result)                                                                                                   \
    NAME(shared)                                                                                                       \
    NAME(socket)                                                                                                       \
    NAME(spare)                                                                                                        \
    NAME(stream)                                                                                                       \
    NAME(turn_end)                                                                                                     \
    NAME(wire_bytes)                                                                                                   \
    NAME(write_to_fd)                                                                                                  \
    NAME(writes)

enum {
#define NAME(name) NAME_##name,
    NAMES(NAME)
#undef NAME
    NAME_COUNT
};

enum { READER, WRITER, TRANSPORT, CONNECTION, TYPE_COUNT };

typedef struct {
    HeaderNames headers;
    PyObject *names[NAME_COUNT];
    PyObject *zero;
    PyTypeObject *types[TYPE_COUNT];
    /* The classes of the objects that were last found to be of these types. They are used and set with the GIL only. */
    PyTypeObject *classes[TYPE_COUNT];
} State;

/* Returns 0, or -1 with an exception. */
static int
init_attribute_names(State *state)
{
    static const char *const names[] = {
#define NAME(name) #name,
        NAMES(NAME)
#undef NAME
    };
    for (int i = 0; i < NAME_COUNT; i++) {
        state->names[i] = PyUnicode_InternFromString(names[i]);
        if (state->names[i] == NULL) {
            return -1;
        }
    }
    state->zero = PyFloat_FromDouble(0.0);
    return state->zero == NULL ? -1 : 0;
}

static void
clear_reference(PyObject **place)
{
    PyObject *object = *place;
    *place = NULL;
    Py_DecRef(object);
}

static void
clear_state(State *state)
{
    clear_names(&state->headers);
    for (int i = 0; i < NAME_COUNT; i++) {
        clear_reference(&state->names[i]);
    }
    for (int i = 0; i < TYPE_COUNT; i++) {
        clear_reference((PyObject **)&state->types[i]);
        clear_reference((PyObject **)&state->classes[i]);
    }
    clear_reference(&state->zero);
}

#endif
