/* Parsing arguments, building values and calling: the variadic functions of CPython's C API and their twins with a
   va_list, for modules of Windows and macOS on ARM64.

   Source: https://docs.python.org/3/c-api/arg.html, https://docs.python.org/3/c-api/call.html, and CPython's
   Python/getargs.c, Python/modsupport.c and Objects/call.c. */

#include "variadic.h"

#if defined(__aarch64__)

IF_ANY int _PyArg_ParseStack(PyObject *const *, ssize_t, const char *, ...);
IF_ANY int _PyArg_ParseStack_SizeT(PyObject *const *, ssize_t, const char *, ...);
IF_ANY int _PyArg_UnpackStack(PyObject *const *, ssize_t, const char *, ssize_t, ssize_t, ...);
IF_ANY int _PyArg_ParseStackAndKeywords(PyObject *const *, ssize_t, PyObject *, void *, ...);
IF_ANY int _PyArg_ParseTupleAndKeywordsFast(PyObject *, PyObject *, void *, ...);
IF_ANY int _PyArg_VaParse_SizeT(PyObject *, const char *, va_list);
IF_ANY int _PyArg_VaParseTupleAndKeywords_SizeT(PyObject *, PyObject *, const char *, char **, va_list);
IF_ANY PyObject *_Py_VaBuildValue_SizeT(const char *, va_list);
extern int PyArg_Parse(PyObject *, const char *, ...);

/* ---- parsing arguments ---- */

/* The names with _SizeT are what PY_SSIZE_T_CLEAN made of the others before 3.13. Where they are gone, every parser
   takes lengths as Py_ssize_t. */
#define FIRST_OF(with_sizes, plain) (with_sizes != NULL ? with_sizes : plain)

VARIADIC(PyArg_ParseTuple)
{
    MAKE_LIST(list, REST(2));
    return PyArg_VaParse(POINTER(0), PARSE_FORMAT(POINTER(1)), list);
}

VARIADIC(_PyArg_ParseTuple_SizeT)
{
    MAKE_LIST(list, REST(2));
    return FIRST_OF(_PyArg_VaParse_SizeT, PyArg_VaParse)(POINTER(0), PARSE_FORMAT(POINTER(1)), list);
}

VARIADIC(PyArg_ParseTupleAndKeywords)
{
    MAKE_LIST(list, REST(4));
    return PyArg_VaParseTupleAndKeywords(POINTER(0), POINTER(1), PARSE_FORMAT(POINTER(2)), POINTER(3), list);
}

VARIADIC(_PyArg_ParseTupleAndKeywords_SizeT)
{
    MAKE_LIST(list, REST(4));
    return FIRST_OF(_PyArg_VaParseTupleAndKeywords_SizeT, PyArg_VaParseTupleAndKeywords)(
        POINTER(0), POINTER(1), PARSE_FORMAT(POINTER(2)), POINTER(3), list);
}

EXPORT(PyArg_VaParse, int)(PyObject *arguments, const char *format, void *slots)
{
    MAKE_LIST(list, slots);
    return PyArg_VaParse(arguments, PARSE_FORMAT(format), list);
}

EXPORT(_PyArg_VaParse_SizeT, int)(PyObject *arguments, const char *format, void *slots)
{
    MAKE_LIST(list, slots);
    return FIRST_OF(_PyArg_VaParse_SizeT, PyArg_VaParse)(arguments, PARSE_FORMAT(format), list);
}

EXPORT(PyArg_VaParseTupleAndKeywords, int)
(PyObject *arguments, PyObject *keywords, const char *format, char **names, void *slots)
{
    MAKE_LIST(list, slots);
    return PyArg_VaParseTupleAndKeywords(arguments, keywords, PARSE_FORMAT(format), names, list);
}

EXPORT(_PyArg_VaParseTupleAndKeywords_SizeT, int)
(PyObject *arguments, PyObject *keywords, const char *format, char **names, void *slots)
{
    MAKE_LIST(list, slots);
    return FIRST_OF(_PyArg_VaParseTupleAndKeywords_SizeT, PyArg_VaParseTupleAndKeywords)(
        arguments, keywords, PARSE_FORMAT(format), names, list);
}

VARIADIC(PyArg_Parse)
{
    return PyArg_Parse(POINTER(0), PARSE_FORMAT(POINTER(1)), SIXTEEN(REST(2)));
}

/* Python/getargs.c, unpack_stack(); the messages are its own. */
VARIADIC(PyArg_UnpackTuple)
{
    PyObject *tuple = POINTER(0);
    const char *name = POINTER(1);
    ssize_t least = registers[2], most = registers[3], count = PyTuple_Size(tuple);
    PyObject ***results = (PyObject ***)REST(4);
    if (count < 0) {
        return 0;
    }
    if (count < least || count > most) {
        ssize_t wanted = count < least ? least : most;
        PyErr_Format(PyExc_TypeError, "%s expected %s%zd argument%s, got %zd", name ? name : "unpacked tuple",
                     least == most  ? ""
                     : count < least ? "at least "
                                     : "at most ",
                     wanted, wanted == 1 ? "" : "s", count);
        return 0;
    }
    for (ssize_t i = 0; i < count; i++) {
        *results[i] = PyTuple_GetItem(tuple, i);
    }
    return 1;
}

VARIADIC(_PyArg_ParseStack)
{
    CHECK_AVAILABLE(_PyArg_ParseStack);
    return _PyArg_ParseStack(POINTER(0), registers[1], PARSE_FORMAT(POINTER(2)), SIXTEEN(REST(3)));
}

VARIADIC(_PyArg_ParseStack_SizeT)
{
    CHECK_AVAILABLE(_PyArg_ParseStack_SizeT);
    return _PyArg_ParseStack_SizeT(POINTER(0), registers[1], PARSE_FORMAT(POINTER(2)), SIXTEEN(REST(3)));
}

VARIADIC(_PyArg_UnpackStack)
{
    CHECK_AVAILABLE(_PyArg_UnpackStack);
    return _PyArg_UnpackStack(POINTER(0), registers[1], POINTER(2), registers[3], registers[4], SIXTEEN(REST(5)));
}

#if !defined(SHIM_WINDOWS)
/* Their formats are inside a _PyArg_Parser, where a conversion can't reach them. */
VARIADIC(_PyArg_ParseStackAndKeywords)
{
    CHECK_AVAILABLE(_PyArg_ParseStackAndKeywords);
    return _PyArg_ParseStackAndKeywords(POINTER(0), registers[1], POINTER(2), POINTER(3), SIXTEEN(REST(4)));
}

VARIADIC(_PyArg_ParseTupleAndKeywordsFast)
{
    CHECK_AVAILABLE(_PyArg_ParseTupleAndKeywordsFast);
    return _PyArg_ParseTupleAndKeywordsFast(POINTER(0), POINTER(1), POINTER(2), SIXTEEN(REST(3)));
}
#endif

/* ---- building values ---- */

static PyObject *
build_value(const char *format, void *slots)
{
    MAKE_LIST(list, slots);
    return Py_VaBuildValue(BUILD_FORMAT(format), list);
}

static PyObject *
build_value_with_sizes(const char *format, void *slots)
{
    MAKE_LIST(list, slots);
    return FIRST_OF(_Py_VaBuildValue_SizeT, Py_VaBuildValue)(BUILD_FORMAT(format), list);
}

VARIADIC(Py_BuildValue) { return (u64)build_value(POINTER(0), REST(1)); }

VARIADIC(_Py_BuildValue_SizeT) { return (u64)build_value_with_sizes(POINTER(0), REST(1)); }

EXPORT(Py_VaBuildValue, PyObject *)(const char *format, void *slots) { return build_value(format, slots); }

EXPORT(_Py_VaBuildValue_SizeT, PyObject *)(const char *format, void *slots)
{
    return build_value_with_sizes(format, slots);
}

VARIADIC(PyTuple_Pack)
{
    ssize_t count = registers[0];
    PyObject **items = (PyObject **)REST(1);
    PyObject *tuple = PyTuple_New(count);
    for (ssize_t i = 0; tuple != NULL && i < count; i++) {
        Py_IncRef(items[i]);
        PyTuple_SetItem(tuple, i, items[i]);
    }
    return (u64)tuple;
}

/* ---- calls ---- */

static PyObject *
raise_null_argument(void)
{
    if (PyErr_Occurred() == NULL) {
        PyErr_SetString(PyExc_SystemError, "null argument to internal routine");
    }
    return NULL;
}

/* Call with what the format builds: its items, or those of the tuple that it builds. */
static PyObject *
call_built(PyObject *callable, const char *format, void *slots, PyObject *build(const char *, void *))
{
    if (callable == NULL) {
        return raise_null_argument();
    }
    if (format == NULL || format[strspn(format, " \t,:")] == 0) {
        return PyObject_CallObject(callable, NULL);
    }
    PyObject *built = build(format, slots);
    if (built == NULL) {
        return NULL;
    }
    PyTypeObject *type = ((PyTypeObject **)built)[1]; /* ob_type, the word after ob_refcnt */
    if (!PyType_IsSubtype(type, (PyTypeObject *)&PyTuple_Type)) {
        PyObject *tuple = PyTuple_New(1);
        if (tuple == NULL) {
            Py_DecRef(built);
            return NULL;
        }
        PyTuple_SetItem(tuple, 0, built);
        built = tuple;
    }
    PyObject *result = PyObject_CallObject(callable, built);
    Py_DecRef(built);
    return result;
}

static PyObject *
call_method(PyObject *object, const char *name, const char *format, void *slots, PyObject *build(const char *, void *))
{
    if (object == NULL || name == NULL) {
        return raise_null_argument();
    }
    PyObject *method = PyObject_GetAttrString(object, name);
    if (method == NULL) {
        return NULL;
    }
    PyObject *result = call_built(method, format, slots, build);
    Py_DecRef(method);
    return result;
}

VARIADIC(PyObject_CallFunction) { return (u64)call_built(POINTER(0), POINTER(1), REST(2), build_value); }

VARIADIC(_PyObject_CallFunction_SizeT)
{
    return (u64)call_built(POINTER(0), POINTER(1), REST(2), build_value_with_sizes);
}

VARIADIC(PyObject_CallMethod) { return (u64)call_method(POINTER(0), POINTER(1), POINTER(2), REST(3), build_value); }

VARIADIC(_PyObject_CallMethod_SizeT)
{
    return (u64)call_method(POINTER(0), POINTER(1), POINTER(2), REST(3), build_value_with_sizes);
}

/* Call with the objects up to a NULL. */
static PyObject *
call_objects(PyObject *callable, PyObject **objects)
{
    size_t count = 0;
    if (callable == NULL) {
        return raise_null_argument();
    }
    while (objects[count] != NULL) {
        count++;
    }
    return PyObject_Vectorcall(callable, objects, count, NULL);
}

VARIADIC(PyObject_CallFunctionObjArgs) { return (u64)call_objects(POINTER(0), (PyObject **)REST(1)); }

VARIADIC(PyObject_CallMethodObjArgs)
{
    if (POINTER(0) == NULL || POINTER(1) == NULL) {
        return (u64)raise_null_argument();
    }
    PyObject *method = PyObject_GetAttr(POINTER(0), POINTER(1));
    if (method == NULL) {
        return 0;
    }
    PyObject *result = call_objects(method, (PyObject **)REST(2));
    Py_DecRef(method);
    return (u64)result;
}

#endif
