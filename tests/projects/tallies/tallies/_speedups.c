#include <Python.h>

/* The bits of a buffer that are set. The text "crash" ends the process: tests need a test that does that. */
static PyObject *
count_bits(PyObject *module, PyObject *data)
{
    char *bytes;
    Py_ssize_t size;
    unsigned long long sum = 0;

    if (PyBytes_AsStringAndSize(data, &bytes, &size) < 0) {
        return NULL;
    }
    if (size == 5 && bytes[0] == 'c' && bytes[4] == 'h') {
        *(volatile int *)16 = 0;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        for (unsigned char byte = (unsigned char)bytes[i]; byte; byte >>= 1) {
            sum += byte & 1;
        }
    }
    return PyLong_FromUnsignedLongLong(sum);
}

static PyMethodDef methods[] = {
    {"count_bits", count_bits, METH_O, "count_bits(data) -> the bits of data that are set"},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tallies._speedups",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__speedups(void)
{
    return PyModuleDef_Init(&definition);
}
