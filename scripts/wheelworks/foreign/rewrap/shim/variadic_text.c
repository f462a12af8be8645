/* Texts made from formats: the variadic functions of CPython's C API that print, raise and warn, for modules of Windows
   and macOS on ARM64. Those that have no twin with a va_list get their finished text as one "%U" or "%s" argument.

   Source: https://docs.python.org/3/c-api/exceptions.html, https://docs.python.org/3/c-api/sys.html, and CPython's
   Python/errors.c and Python/sysmodule.c. */

#include "variadic.h"

#if defined(__aarch64__)

IF_ANY void PyErr_FormatUnraisable(const char *, ...);
IF_ANY int PyUnicodeWriter_Format(void *, const char *, ...);
IF_ANY PyObject *_PyErr_FormatFromCause(PyObject *, const char *, ...);
IF_ANY void _Py_FatalErrorFormat(const char *, const char *, ...);
extern int PyErr_WarnFormat(PyObject *, ssize_t, const char *, ...);
extern int PyErr_ResourceWarning(PyObject *, ssize_t, const char *, ...);
extern void PyErr_Fetch(PyObject **, PyObject **, PyObject **), PyErr_Restore(PyObject *, PyObject *, PyObject *);
extern void PySys_FormatStdout(const char *, ...), PySys_FormatStderr(const char *, ...);
extern void PySys_WriteStdout(const char *, ...), PySys_WriteStderr(const char *, ...);

/* ---- texts and bytes ---- */

static PyObject *
format_text(const char *format, void *slots)
{
    MAKE_LIST(list, slots);
    return PyUnicode_FromFormatV(PRINTF_FORMAT(format), list);
}

VARIADIC(PyUnicode_FromFormat) { return (u64)format_text(POINTER(0), REST(1)); }

EXPORT(PyUnicode_FromFormatV, PyObject *)(const char *format, void *slots) { return format_text(format, slots); }

VARIADIC(PyBytes_FromFormat)
{
    MAKE_LIST(list, REST(1));
    return (u64)PyBytes_FromFormatV(PRINTF_FORMAT(POINTER(0)), list);
}

EXPORT(PyBytes_FromFormatV, PyObject *)(const char *format, void *slots)
{
    MAKE_LIST(list, slots);
    return PyBytes_FromFormatV(PRINTF_FORMAT(format), list);
}

VARIADIC(PyUnicodeWriter_Format)
{
    CHECK_AVAILABLE(PyUnicodeWriter_Format);
    PyObject *text = format_text(POINTER(1), REST(2));
    if (text == NULL) {
        return -1;
    }
    int result = PyUnicodeWriter_Format(POINTER(0), "%U", text);
    Py_DecRef(text);
    return result;
}

VARIADIC(PyOS_snprintf)
{
    MAKE_LIST(list, REST(3));
    return PyOS_vsnprintf(POINTER(0), registers[1], PRINTF_FORMAT(POINTER(2)), list);
}

EXPORT(PyOS_vsnprintf, int)(char *buffer, size_t size, const char *format, void *slots)
{
    MAKE_LIST(list, slots);
    return PyOS_vsnprintf(buffer, size, PRINTF_FORMAT(format), list);
}

/* ---- exceptions and warnings ---- */

VARIADIC(PyErr_Format)
{
    MAKE_LIST(list, REST(2));
    return (u64)PyErr_FormatV(POINTER(0), PRINTF_FORMAT(POINTER(1)), list);
}

EXPORT(PyErr_FormatV, PyObject *)(PyObject *type, const char *format, void *slots)
{
    MAKE_LIST(list, slots);
    return PyErr_FormatV(type, PRINTF_FORMAT(format), list);
}

VARIADIC(_PyErr_FormatFromCause)
{
    CHECK_AVAILABLE(_PyErr_FormatFromCause);
    /* The text is made with the exception set that is to be the cause, as CPython's own does. */
    PyObject *text = format_text(POINTER(1), REST(2));
    if (text != NULL) {
        _PyErr_FormatFromCause(POINTER(0), "%U", text);
        Py_DecRef(text);
    }
    return 0;
}

VARIADIC(PyErr_FormatUnraisable)
{
    CHECK_AVAILABLE(PyErr_FormatUnraisable);
    if (POINTER(0) == NULL) {
        PyErr_FormatUnraisable(NULL);
        return 0;
    }
    PyObject *type, *value, *traceback; /* formatting must not see the exception that is to be reported */
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *text = format_text(POINTER(0), REST(1));
    PyErr_Restore(type, value, traceback);
    if (text != NULL) {
        PyErr_FormatUnraisable("%U", text);
        Py_DecRef(text);
    }
    return 0;
}

typedef int Warn(PyObject *, ssize_t, const char *, ...);

static int
warn(Warn *function, PyObject *about, ssize_t level, PyObject *text)
{
    if (text == NULL) {
        return -1;
    }
    int result = function(about, level, "%U", text);
    Py_DecRef(text);
    return result;
}

VARIADIC(PyErr_WarnFormat)
{
    return warn(PyErr_WarnFormat, POINTER(0), registers[1], format_text(POINTER(2), REST(3)));
}

VARIADIC(PyErr_ResourceWarning)
{
    return warn(PyErr_ResourceWarning, POINTER(0), registers[1], format_text(POINTER(2), REST(3)));
}

/* ---- output ---- */

#define LONGEST_LINE 1200 /* bytes: PySys_WriteStdout and PySys_WriteStderr write at most 1000, and say so */

static void
write_line(void (*write)(const char *, ...), const char *format, void *slots)
{
    char line[LONGEST_LINE];
    MAKE_LIST(list, slots);
    PyOS_vsnprintf(line, sizeof(line), PRINTF_FORMAT(format), list);
    write("%s", line);
}

VARIADIC(PySys_WriteStdout)
{
    write_line(PySys_WriteStdout, POINTER(0), REST(1));
    return 0;
}

VARIADIC(PySys_WriteStderr)
{
    write_line(PySys_WriteStderr, POINTER(0), REST(1));
    return 0;
}

static void
write_text(void (*write)(const char *, ...), const char *format, void *slots)
{
    PyObject *text = format_text(format, slots);
    if (text != NULL) {
        write("%U", text);
        Py_DecRef(text);
    }
}

VARIADIC(PySys_FormatStdout)
{
    write_text(PySys_FormatStdout, POINTER(0), REST(1));
    return 0;
}

VARIADIC(PySys_FormatStderr)
{
    write_text(PySys_FormatStderr, POINTER(0), REST(1));
    return 0;
}

VARIADIC(_Py_FatalErrorFormat)
{
    char line[LONGEST_LINE];
    CHECK_AVAILABLE(_Py_FatalErrorFormat);
    MAKE_LIST(list, REST(2));
    vsnprintf(line, sizeof(line), PRINTF_FORMAT(POINTER(1)), list);
    _Py_FatalErrorFormat(POINTER(0), "%s", line);
    return 0;
}

#endif
