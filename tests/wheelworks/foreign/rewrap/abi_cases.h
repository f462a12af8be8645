/* Cases that are the same in macos_abi.c and windows_abi.c, and what their other cases use. */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#define CASE(name) static PyObject *name(PyObject *self, PyObject *args)
#define BOTH(name, flags) {"right_" #name, right_##name, flags}, {"wrong_" #name, wrong_##name, flags}

/* ---- variadic functions: what is wrong in them differs ---- */

CASE(right_build)
{
    return Py_BuildValue("(idsldLsdkdfO)", 1, 2.5, "three", -4L, 5.25, -6LL, "seven", 8.125, 9UL, 10.5, 11.75, Py_None);
}

CASE(right_format)
{
    return PyErr_Format(PyExc_ValueError, "%d %ld %s %lu %lld %zd", -1, -2L, "three", 4UL, -5LL, (Py_ssize_t)6);
}

/* ---- numbers ---- */

/* The first two items of a buffer of longs are negated. */
#define NEGATE_TWO(type)                                                    \
    Py_buffer view;                                                         \
    if (PyObject_GetBuffer(args, &view, PyBUF_WRITABLE)) {                  \
        return NULL;                                                        \
    }                                                                       \
    for (int i = 0; i < 2; i++) {                                           \
        ((type *)view.buf)[i] = -(int)((char *)view.buf)[i * sizeof(type)]; \
    }                                                                       \
    PyBuffer_Release(&view);                                                \
    return PyLong_FromLong(0)
CASE(right_buffer) { NEGATE_TWO(long); }

/* ---- wchar_t ---- */

PyAPI_FUNC(wchar_t *) PyUnicode_AsWideCharString(PyObject *, Py_ssize_t *);
PyAPI_FUNC(PyObject *) PyUnicode_FromWideChar(const wchar_t *, Py_ssize_t);

/* Return the units of a text, as if each had `size` bytes, and the text that they make. */
static PyObject *
list_units(PyObject *text, int size)
{
    Py_ssize_t count;
    wchar_t *wide = PyUnicode_AsWideCharString(text, &count);
    PyObject *list = wide ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; list && i < count; i++) {
        PyObject *unit = PyLong_FromLong(size == 4 ? (long)((unsigned *)wide)[i] : ((unsigned short *)wide)[i]);
        PyList_Append(list, unit);
        Py_DecRef(unit);
    }
    PyObject *again = wide ? PyUnicode_FromWideChar(wide, count) : NULL;
    PyMem_Free(wide);
    return Py_BuildValue("(NN)", list, again);
}

/* ---- callbacks through capsules ---- */

typedef double Callback(int, double, long, double);
static double add_all(int a, double b, long c, double d) { return a + b * 10 + (double)c * 100 + d * 1000; }
static double add_swapped(int a, double d, long c, double b) { return add_all(a, b, c, d); }

static PyObject *
call_capsule(Callback *function)
{
    PyObject *capsule = PyCapsule_New((void *)function, "abi.callback", NULL);
    Callback *callback = (Callback *)PyCapsule_GetPointer(capsule, "abi.callback");
    double sum = callback ? callback(1, 2, -3, 4) : 0;
    Py_DecRef(capsule);
    return PyFloat_FromDouble(sum);
}

CASE(right_capsule) { return call_capsule(add_all); }
CASE(wrong_capsule) { return call_capsule(add_swapped); }

/* The start of datetime's capsule, <datetime.h>: functions of Linux, one with more arguments than registers. */
typedef struct {
    PyTypeObject *date, *datetime, *time, *delta, *zone;
    PyObject *utc;
    PyObject *(*make_date)(int, int, int, PyTypeObject *);
    PyObject *(*make_datetime)(int, int, int, int, int, int, int, PyObject *, PyTypeObject *);
} DatetimeAPI;

static PyObject *
make_datetime(int month, int day)
{
    DatetimeAPI *api = (DatetimeAPI *)PyCapsule_Import("datetime.datetime_CAPI", 0);
    return api ? api->make_datetime(2026, month, day, 1, 2, 3, 4, Py_None, api->datetime) : NULL;
}

CASE(right_datetime) { return make_datetime(11, 29); }
CASE(wrong_datetime) { return make_datetime(29, 11); } /* two arguments are swapped */

/* ---- heap types with garbage collection ---- */

typedef struct {
    PyObject_HEAD
    PyObject *other;
} Node;

static long freed;

static int
visit_node(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Node *)self)->other);
    return 0;
}

static int
forget_other(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int
clear_node(PyObject *self)
{
    Py_CLEAR(((Node *)self)->other);
    return 0;
}

static void
free_node(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear_node(self);
    freed++;
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DecRef((PyObject *)type);
}

static PyMemberDef node_members[] = {{"other", T_OBJECT, offsetof(Node, other), 0, NULL}, {NULL}};
#define NODE_SLOTS(visit)           \
    {{Py_tp_traverse, visit},       \
     {Py_tp_clear, clear_node},     \
     {Py_tp_dealloc, free_node},    \
     {Py_tp_members, node_members}, \
     {0, NULL}}
static PyType_Slot right_node[] = NODE_SLOTS(visit_node), wrong_node[] = NODE_SLOTS(forget_other);
#define NODE_SPEC(slots) {"abi.Node", sizeof(Node), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots}
static PyType_Spec right_node_spec = NODE_SPEC(right_node), wrong_node_spec = NODE_SPEC(wrong_node);
CASE(right_node_type) { return PyType_FromSpec(&right_node_spec); }
CASE(wrong_node_type) { return PyType_FromSpec(&wrong_node_spec); }
CASE(count_freed) { return PyLong_FromLong(freed); }
