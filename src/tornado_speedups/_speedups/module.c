/* tornado_speedups._speedups: the functions of _python.py in C, which documents them, and the types of connection.h.

   It is freestanding: it calls CPython's stable ABI and nothing else, no libc, so that one binary per ABI, CPU and
   object format is enough. Its only state is written while a module is executed: safe in subinterpreters and without
   the GIL. It is one translation unit, because most of the time to compile a small file goes into Python.h. */

#include "args.h"
#include "connection.h"
#include "frames.h"
#include "http_parse.h"
#include "http_serialize.h"
#include "mask.h"
#include "state.h"

#define FUNCTION(name, parameters, doc)                                                                                \
    {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, #name "($module, " parameters ", /)\n--\n\n" doc}

static PyMethodDef methods[] = {
    FUNCTION(websocket_mask, "mask, data",
             "Return data XORed with the repeated 4-byte mask (RFC 6455, section 5.3)."),
    FUNCTION(websocket_mask_inplace, "mask, buffer, offset=0",
             "XOR a writable buffer with the repeated 4-byte mask, offset bytes of the payload having come before."),
    FUNCTION(parse_frames, "buffer, start, limit",
             "Return the complete WebSocket frames from start on, where they end, and the size of the next one."),
    FUNCTION(build_frame, "head, payload, mask",
             "Return a WebSocket frame with this first byte, masked unless mask is None."),
    FUNCTION(build_frame_into, "head, payload, mask, buffer",
             "Write what build_frame() returns to the begin of a writable buffer, and return its size in bytes."),
    FUNCTION(parse_headers, "block",
             "Return the lists of values, the single values and the last name of a block of HTTP headers, or None."),
    FUNCTION(parse_head, "data",
             "Return the start line of an HTTP/1.x message and what parse_headers() does of the rest, or None."),
    FUNCTION(parse_start_line, "line",
             "Return the method, target and version of an HTTP/1.x request, or None."),
    FUNCTION(serialize_head, "line, headers, body",
             "Return a start line, headers and the beginning of the body as bytes, or None."),
    {NULL, NULL, 0, NULL},
};

#define NAME "tornado_speedups._speedups"
#define DOC "The functions and types of tornado_speedups in C."

static int
execute(PyObject *module)
{
    State *state = PyModule_GetState(module);
    detect_cpu();
    return init_names(&state->headers) < 0 || init_attribute_names(state) < 0 ? -1 : add_types(module, state);
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    const State *state = PyModule_GetState(module);
    for (int i = 0; state != NULL && i < TYPE_COUNT; i++) {
        Py_VISIT(state->types[i]);
        Py_VISIT(state->classes[i]);
    }
    return 0;
}

static int
clear(PyObject *module)
{
    clear_state(PyModule_GetState(module));
    return 0;
}

static void
release(void *module)
{
    clear(module);
}

#if defined(Py_TARGET_ABI3T)

/* The stable ABI of 3.15 with and without the GIL (PEP 803). The layout of objects is unknown in it, so that a module
   is described by slots alone (PEP 793). */
PyABIInfo_VAR(abi_info);

static PySlot slots[] = {
    PySlot_STATIC_DATA(Py_mod_abi, &abi_info),
    PySlot_STATIC_DATA(Py_mod_name, NAME),
    PySlot_STATIC_DATA(Py_mod_doc, DOC),
    PySlot_STATIC_DATA(Py_mod_methods, methods),
    PySlot_SIZE(Py_mod_state_size, sizeof(State)),
    PySlot_FUNC(Py_mod_exec, execute),
    PySlot_FUNC(Py_mod_state_traverse, traverse),
    PySlot_FUNC(Py_mod_state_clear, clear),
    PySlot_FUNC(Py_mod_state_free, release),
    PySlot_DATA(Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED),
    PySlot_DATA(Py_mod_gil, Py_MOD_GIL_NOT_USED),
    PySlot_END,
};

PyMODEXPORT_FUNC
PyModExport__speedups(void)
{
    return slots;
}

#else

/* Slots that the headers of older versions lack. */
#if !defined(Py_mod_multiple_interpreters)
#define Py_mod_multiple_interpreters 3
#define Py_MOD_PER_INTERPRETER_GIL_SUPPORTED ((void *)2)
#endif
#if !defined(Py_mod_gil)
#define Py_mod_gil 4
#define Py_MOD_GIL_NOT_USED ((void *)1)
#endif

/* The newest slots come first. A Python that finds a slot it doesn't know refuses the module, so that each version gets
   the end of the array that it knows. */
static PyModuleDef_Slot slots[] = {
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_exec, (void *)(uintptr_t)execute},
    {0, NULL},
};

#define DEFINITION(first_slot)                                                                                         \
    {                                                                                                                  \
        PyModuleDef_HEAD_INIT, .m_name = NAME, .m_doc = DOC, .m_size = sizeof(State), .m_methods = methods,      \
        .m_slots = slots + (first_slot), .m_traverse = traverse, .m_clear = clear, .m_free = release,                                          \
    }

static struct PyModuleDef for_3_11 = DEFINITION(2);
static struct PyModuleDef for_3_12 = DEFINITION(1);
static struct PyModuleDef for_3_13 = DEFINITION(0);

PyMODINIT_FUNC
PyInit__speedups(void)
{
    return PyModuleDef_Init(Py_Version >= 0x030d0000 ? &for_3_13 : Py_Version >= 0x030c0000 ? &for_3_12 : &for_3_11);
}

#endif
