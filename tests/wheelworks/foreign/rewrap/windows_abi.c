/* A module for the differences between the binary interfaces of Windows and Linux: each case is a function right_NAME,
   whose result is the one of a Python on Windows, and a function wrong_NAME with a seeded fault. */

#include "abi_cases.h"

#include <windows.h>
#include <process.h>
#include <errno.h>
#include <stdio.h>

/* ---- variadic functions: doubles, ints and longs in turn ---- */

CASE(right_parse)
{
    int i;
    double d, e;
    const char *text;
    unsigned long k;
    struct {
        long value;
        int guard;
    } field = {0, 77};
    if (!PyArg_ParseTuple(args, "idlsdk", &i, &d, &field.value, &text, &e, &k)) {
        return NULL;
    }
    return Py_BuildValue("(idlsdki)", i, d, field.value, text, e, k, field.guard);
}

CASE(wrong_parse) /* a long read as a long long: the upper half isn't written */
{
    int i;
    double d, e;
    const char *text;
    unsigned long k;
    long long value = 0;
    if (!PyArg_ParseTuple(args, "idlsdk", &i, &d, (long *)&value, &text, &e, &k)) {
        return NULL;
    }
    return Py_BuildValue("(idLsdki)", i, d, value, text, e, k, 77);
}

CASE(wrong_build) /* 'l' takes 32 bits of the slot */
{
    return Py_BuildValue("(idsldLsdkdfO)", 1, 2.5, "three", (1LL << 32) - 5, 5.25, -6LL, "seven", 8.125,
                         (1LL << 32) + 8, 10.5, 11.75, Py_None);
}

CASE(wrong_format) /* the arguments of %ld and %s are swapped in size only: 32 bits are read */
{
    return PyErr_Format(PyExc_ValueError, "%d %ld %s %lu %lld %zd", -1, (1LL << 32) - 3, "three", (1LL << 32) + 5, -5LL,
                        (Py_ssize_t)6);
}

CASE(right_snprintf)
{
    char text[200];
    snprintf(text, sizeof(text), "%d %.3f %ld %s %.2f %lu %g %ls", 1, 2.5, -3L, "four", 5.25, 6UL, 7.5,
             L"\u00e9\U0001F600");
    return PyUnicode_FromString(text);
}

CASE(wrong_snprintf)
{
    char text[200];
    snprintf(text, sizeof(text), "%d %.3f %ld %s %.2f %lu %g %ls", 1, 2.5, (1LL << 32) - 4, "four", 5.25,
             (1LL << 32) + 7, 7.5, L"8");
    return PyUnicode_FromString(text);
}

/* ---- long ---- */

CASE(right_long)
{
    long value = PyLong_AsLong(args);
    return value == -1 && PyErr_Occurred() ? NULL : PyLong_FromLong(value);
}

CASE(wrong_long) /* the error isn't looked for, as code does that was only ever run where a long has 64 bits */
{
    long value = PyLong_AsLong(args);
    PyErr_Clear();
    return PyLong_FromLong(value);
}

typedef struct {
    PyObject_HEAD long number;
    int guard;
    unsigned long size;
} Members;

static PyMemberDef right_members[] = {
    {"number", T_LONG, offsetof(Members, number), 0, NULL},
    {"guard", T_INT, offsetof(Members, guard), 0, NULL},
    {"size", T_ULONG, offsetof(Members, size), 0, NULL},
    {"fixed", T_LONG, offsetof(Members, number), READONLY, NULL},
    {NULL},
};
static PyMemberDef wrong_members[] = {
    {"number", T_LONGLONG, offsetof(Members, number), 0, NULL}, /* it is a long */
    {"guard", T_INT, offsetof(Members, guard), 0, NULL},          {"size", T_ULONG, offsetof(Members, size), 0, NULL},
    {"fixed", T_LONG, offsetof(Members, number), READONLY, NULL}, {NULL},
};
static PyType_Slot right_slots[] = {{Py_tp_members, right_members}, {0, NULL}};
static PyType_Slot wrong_slots[] = {{Py_tp_members, wrong_members}, {0, NULL}};
static PyType_Spec right_spec = {"abi.Right", sizeof(Members), 0, Py_TPFLAGS_DEFAULT, right_slots};
static PyType_Spec wrong_spec = {"abi.Wrong", sizeof(Members), 0, Py_TPFLAGS_DEFAULT, wrong_slots};

CASE(right_members_type) { return PyType_FromSpec(&right_spec); }
CASE(wrong_members_type) { return PyType_FromSpec(&wrong_spec); }

/* ---- a buffer of longs: the first two items are negated ---- */

CASE(wrong_buffer) { NEGATE_TWO(long long); } /* the size of a long elsewhere */

/* ---- wchar_t ---- */

CASE(right_wide) { return list_units(args, 2); }
CASE(wrong_wide) { return list_units(args, 4); } /* units of 32 bits */

/* ---- thread-local variables ---- */

static _Thread_local int own_counter = 40;
static int shared_counter = 40;
CASE(right_thread_local) { return PyLong_FromLong(++own_counter); }
CASE(wrong_thread_local) { return PyLong_FromLong(++shared_counter); }

/* ---- constructors ---- */

static int constructed;
__attribute__((constructor)) static void
construct(void)
{
    constructed = 42;
}
static int misplaced;
static void
construct_misplaced(void)
{
    misplaced = 42;
}
__attribute__((section(".data$wrong"), used)) static void (*table[])(void) = {
    construct_misplaced}; /* nobody looks there */
CASE(right_constructor) { return PyLong_FromLong(constructed); }
CASE(wrong_constructor) { return PyLong_FromLong(misplaced); }

/* ---- a thread of the module's own ---- */

static unsigned __stdcall
work(void *argument)
{
    Sleep(30);
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *number = PyLong_FromLong(++own_counter); /* its own copy: 41 */
    *(long *)argument = PyLong_AsLong(number);
    Py_DecRef(number);
    PyGILState_Release(state);
    return 7;
}

static PyObject *
run_thread(DWORD wait)
{
    static long result;
    DWORD code = 0, waited;
    result = 0;
    HANDLE thread = (HANDLE)_beginthreadex(NULL, 0, work, &result, 0, NULL);
    Py_BEGIN_ALLOW_THREADS waited = WaitForSingleObject(thread, wait);
    Py_END_ALLOW_THREADS PyObject *found =
        Py_BuildValue("(klk)", waited, result, GetExitCodeThread(thread, &code) ? code : 0);
    Py_BEGIN_ALLOW_THREADS WaitForSingleObject(thread, INFINITE);
    Py_END_ALLOW_THREADS CloseHandle(thread);
    return found;
}

CASE(right_thread) { return run_thread(10000); }
CASE(wrong_thread) { return run_thread(1); } /* it isn't waited for */

/* ---- error codes ---- */

CASE(right_error)
{
    SetLastError(ERROR_ACCESS_DENIED);
    return PyErr_SetFromWindowsErr(0);
}
CASE(wrong_error) /* errno isn't the last error */
{
    SetLastError(ERROR_ACCESS_DENIED);
    errno = ENOENT;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyMethodDef methods[] = {
    BOTH(parse, METH_VARARGS),
    BOTH(build, METH_NOARGS),
    BOTH(format, METH_NOARGS),
    BOTH(snprintf, METH_NOARGS),
    BOTH(long, METH_O),
    BOTH(members_type, METH_NOARGS),
    BOTH(buffer, METH_O),
    BOTH(wide, METH_O),
    BOTH(thread_local, METH_NOARGS),
    BOTH(constructor, METH_NOARGS),
    BOTH(capsule, METH_NOARGS),
    BOTH(datetime, METH_NOARGS),
    BOTH(thread, METH_NOARGS),
    BOTH(node_type, METH_NOARGS),
    BOTH(error, METH_NOARGS),
    {"count_freed", count_freed, METH_NOARGS, NULL},
    {NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "abi", NULL, -1, methods};

PyMODINIT_FUNC
PyInit_abi(void)
{
    return PyModule_Create(&definition);
}
