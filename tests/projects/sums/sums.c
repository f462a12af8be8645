#include <Python.h>

static PyObject *
total(PyObject *module, PyObject *data)
{
    Py_buffer view;
    unsigned long long sum = 0;

    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < view.len; i++) {
        sum += ((unsigned char *)view.buf)[i];
    }
    PyBuffer_Release(&view);
    return PyLong_FromUnsignedLongLong(sum);
}

static PyMethodDef methods[] = {
    {"total", total, METH_O, "total(data) -> the sum of all bytes of data"},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sums",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_sums(void)
{
    return PyModuleDef_Init(&definition);
}
