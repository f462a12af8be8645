/* The module that runs the cases of windows_cxx.cpp. */

#define Py_LIMITED_API 0x030b0000
#include <Python.h>

extern int run_case(int number);

static PyObject *
run(PyObject *self, PyObject *number)
{
    return PyLong_FromLong(run_case((int)PyLong_AsLong(number)));
}

static PyMethodDef methods[] = {{"run", run, METH_O, NULL}, {NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "cxx", NULL, -1, methods};

PyMODINIT_FUNC
PyInit_cxx(void)
{
    return PyModule_Create(&definition);
}
