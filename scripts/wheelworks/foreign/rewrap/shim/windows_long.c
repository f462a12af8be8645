/* Windows' `long` has 32 bits (LLP64). Here are the functions of the C API that take or return one.

   AAPCS64 leaves the upper half of a register undefined for a 32-bit argument, and Linux's functions read all of it. So
   arguments are extended, and results are checked against the range of 32 bits, with the exceptions and messages of a
   CPython on Windows. Source: https://docs.python.org/3/c-api/long.html and Objects/longobject.c. */

#include <limits.h>

#include "windows.h"

#define TOO_LARGE "Python int too large to convert to C %s"

/* ---- integers ---- */

static int
check_long(long value)
{
    if (value != (int)value) {
        PyErr_Format(PyExc_OverflowError, TOO_LARGE, "long");
        return -1;
    }
    return (int)value;
}

EXPORT(PyLong_AsLong, int)(PyObject *object) { return check_long(PyLong_AsLong(object)); }

EXPORT(PyLong_AsLongAndOverflow, int)(PyObject *object, int *overflow)
{
    long value = PyLong_AsLongAndOverflow(object, overflow);
    if (*overflow == 0 && value != (int)value) {
        *overflow = value < 0 ? -1 : 1;
        return -1;
    }
    return (int)value;
}

EXPORT(PyLong_AsUnsignedLong, u32)(PyObject *object)
{
    unsigned long value = PyLong_AsUnsignedLong(object);
    if (value == ULONG_MAX && PyErr_Occurred()) {
        return UINT_MAX;
    }
    if (value > UINT_MAX) {
        PyErr_Format(PyExc_OverflowError, TOO_LARGE, "unsigned long");
        return UINT_MAX;
    }
    return (u32)value;
}

EXPORT(PyLong_AsUnsignedLongMask, u32)(PyObject *object) { return (u32)PyLong_AsUnsignedLongMask(object); }

EXPORT(PyLong_FromLong, PyObject *)(int value) { return PyLong_FromLong(value); }

EXPORT(PyLong_FromUnsignedLong, PyObject *)(u32 value) { return PyLong_FromUnsignedLong(value); }

EXPORT(PyBool_FromLong, PyObject *)(int value) { return PyBool_FromLong(value); }

EXPORT(PyModule_AddIntConstant, int)(PyObject *module, const char *name, int value)
{
    return PyModule_AddIntConstant(module, name, value);
}

/* ---- numbers in texts: PyOS_strtol and C's strtol ---- */

EXPORT(strtol, int)(const char *text, char **end, int base)
{
    long value = strtol(text, end, base);
    if (value != (int)value) {
        errno = ERANGE;
        return value < 0 ? INT_MIN : INT_MAX;
    }
    return (int)value;
}

/* strtoul("-1") is ULONG_MAX on both systems; a text beyond the range is ERANGE. */
EXPORT(strtoul, u32)(const char *text, char **end, int base)
{
    int before = errno;
    errno = 0;
    unsigned long value = strtoul(text, end, base);
    if (errno == ERANGE || (value > UINT_MAX && -value > UINT_MAX)) {
        errno = ERANGE;
        return UINT_MAX;
    }
    errno = errno ? errno : before;
    return (u32)value;
}

EXPORT(PyOS_strtol, int)(const char *text, char **end, int base) { return w_strtol(text, end, base); }

EXPORT(PyOS_strtoul, u32)(const char *text, char **end, int base) { return w_strtoul(text, end, base); }

EXPORT(atol, int)(const char *text) { return w_strtol(text, NULL, 10); }

EXPORT(labs, int)(int value) { return value < 0 ? -value : value; }

/* ---- threads: identifiers are `unsigned long` ----

   CPython's identifier on Linux is an address of 64 bits. Its lower half tells threads apart as long as fewer than 512
   stacks of 8 MiB exist, and `threading.get_ident()` still returns all of it. */

EXPORT(PyThread_get_thread_ident, u32)(void) { return (u32)PyThread_get_thread_ident(); }

EXPORT(PyThread_start_new_thread, u32)(void (*function)(void *), void *argument)
{
    return (u32)PyThread_start_new_thread(function, argument);
}

/* The identifier of another thread. The module has half of it, and there is no way to find the rest. */
EXPORT(PyThreadState_SetAsyncExc, int)(u32 identifier, PyObject *exception) { fail_shim("PyThreadState_SetAsyncExc"); }

extern void PyMarshal_WriteLongToFile(long, FILE *, int);
EXPORT(PyMarshal_WriteLongToFile, void)(int value, FILE *file, int version)
{
    PyMarshal_WriteLongToFile(value, file, version);
}

/* ---- formats ---- */

/* Formats of texts in wchar_t, which CPython on Linux would read by 32 bits: nobody has asked for them yet. */
static void
refuse_wide(BOOL is_wide)
{
    if (is_wide) {
        fail_shim("a format of the C API with a text in wchar_t");
    }
}

static void
check_room(const char *format, size_t size)
{
    if (strlen(format) >= size) {
        fail_shim("a format of the C API is too long");
    }
}

const char *
convert_parse_format(const char *format, char *buffer, size_t size)
{
    check_room(format, size);
    size_t i = 0;
    for (; format[i] && format[i] != ':' && format[i] != ';'; i++) { /* a name or a message follows these */
        refuse_wide(format[i] == 'u' || format[i] == 'Z');
        buffer[i] = format[i] == 'l' ? 'i' : format[i] == 'k' ? 'I' : format[i];
    }
    strcpy(buffer + i, format + i);
    return buffer;
}

const char *
convert_build_format(const char *format, char *buffer, size_t size)
{
    check_room(format, size);
    size_t i = 0;
    for (; format[i]; i++) {
        refuse_wide(format[i] == 'u');
        buffer[i] = format[i] == 'l' ? 'i' : format[i] == 'k' ? 'I' : format[i];
    }
    buffer[i] = 0;
    return buffer;
}

/* %ld becomes %d, %lu %u, %I64d %lld and %I32d %d: the formats of Microsoft's C and of PyUnicode_FromFormat(). */
const char *
convert_printf_format(const char *format, char *buffer, size_t size)
{
    check_room(format, size);
    char *to = buffer;
    while (*format) {
        if ((*to++ = *format++) != '%') {
            continue;
        }
        while (*format && strchr("-+ #0123456789.*", *format)) {
            *to++ = *format++;
        }
        if (strncmp(format, "I64", 3) == 0) {
            format += 3;
            to = stpcpy(to, "ll");
        } else if (strncmp(format, "I32", 3) == 0) {
            format += 3;
        } else if (strncmp(format, "ll", 2) == 0) {
            format += 2;
            to = stpcpy(to, "ll");
        } else if (*format == 'l' && format[1] && strchr("diouxX", format[1])) {
            format++;
        }
        refuse_wide(*format == 'l' && (format[1] == 's' || format[1] == 'V'));
        if (*format) {
            *to++ = *format++;
        }
    }
    *to = 0;
    return buffer;
}
