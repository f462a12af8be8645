/* tornado_speedups._speedups: the functions of _fallback.py in C.

   Freestanding: it calls CPython's stable ABI of 3.11 and nothing else, no libc, so that one binary per
   CPU and object format is enough. No state: safe in subinterpreters and without the GIL. */

#include "arguments.h"
#include "xor.h"

static PyObject *
mask_to_bytes(const Argument *mask, const Argument *data)
{
    if (mask->length != 4) {
        return PyErr_Format(PyExc_ValueError, "mask must be 4 bytes, not %zd", mask->length);
    }
    PyObject *masked = PyBytes_FromStringAndSize(NULL, data->length);
    if (masked != NULL) {
        xor_mask((unsigned char *)PyBytes_AsString(masked), data->bytes, (size_t)data->length, mask->bytes);
    }
    return masked;
}

static PyObject *
raise_wrong_count(Py_ssize_t given)
{
    if (given > 2) {
        return PyErr_Format(
            PyExc_TypeError, "websocket_mask() takes 2 positional arguments but %zd were given", given);
    }
    PyErr_SetString(PyExc_TypeError,
                    given == 1 ? "websocket_mask() missing 1 required positional argument: 'data'"
                               : "websocket_mask() missing 2 required positional arguments: 'mask' and 'data'");
    return NULL;
}

static PyObject *
websocket_mask(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Argument mask, data;
    if (count != 2) {
        return raise_wrong_count(count);
    }
    if (argument_open(&mask, arguments[0], "mask") < 0) {
        return NULL;
    }
    if (argument_open(&data, arguments[1], "data") < 0) {
        argument_close(&mask);
        return NULL;
    }
    PyObject *masked = mask_to_bytes(&mask, &data);
    argument_close(&data);
    argument_close(&mask);
    return masked;
}

PyDoc_STRVAR(websocket_mask_doc,
             "websocket_mask($module, mask, data, /)\n--\n\n"
             "Return data XORed with the repeated 4-byte mask (RFC 6455, section 5.3).");

static PyMethodDef methods[] = {
    {"websocket_mask", (PyCFunction)(void (*)(void))websocket_mask, METH_FASTCALL, websocket_mask_doc},
    {NULL, NULL, 0, NULL},
};

/* Slots that a version doesn't know make it refuse the module: declare what the oldest one served knows. */
#if defined(Py_LIMITED_API)
#define OLDEST_VERSION Py_LIMITED_API
#else
#define OLDEST_VERSION PY_VERSION_HEX
#endif

static PyModuleDef_Slot slots[] = {
#if OLDEST_VERSION >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if OLDEST_VERSION >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tornado_speedups._speedups",
    .m_doc = "The functions of tornado_speedups in C.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__speedups(void)
{
    return PyModuleDef_Init(&module_definition);
}
