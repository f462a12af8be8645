/* Error numbers. Apple's differ from Linux's from 35 on, and in EDEADLK: EAGAIN is 35 there, and 11 here.

   The module reads and writes errno through __error(). Linux's functions and CPython set Linux's errno. So each thread
   has two: __error() converts Linux's into Apple's and then leaves IN_APPLE_ERRNO in Linux's, which says that Apple's
   is the newer one. A function that sets Linux's errno later makes that the newer one. Functions of CPython that raise
   from errno convert back.
   Sources: Apple's <sys/errno.h>; https://docs.python.org/3/c-api/exceptions.html. */

#include <string.h>

#include "macos.h"

enum {
    IN_APPLE_ERRNO = 0x4170706C, /* no error number of Linux */
    /* Added to a number that has no twin on the other system, so that it comes back whole. */
    NO_TWIN = 1000,
};

static __thread int apple_errno;

static const struct {
    int here, apple;
} errors[] = {
#define ROW(name, number) {name, number},
    APPLE_ERRORS(ROW)
#undef ROW
};

/* Convert an error number that isn't in the table, in either direction. */
static int
convert_unlisted(int number)
{
    if (number > NO_TWIN) {
        return number - NO_TWIN;
    }
    return number <= ERANGE ? number : number + NO_TWIN;
}

int
to_apple_error(int number)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (errors[i].here == number) {
            return errors[i].apple;
        }
    }
    return convert_unlisted(number);
}

int
to_linux_error(int number)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (errors[i].apple == number) {
            return errors[i].here;
        }
    }
    return convert_unlisted(number);
}

EXPORT(__error, int *)(void)
{
    if (errno != IN_APPLE_ERRNO) {
        apple_errno = to_apple_error(errno);
        errno = IN_APPLE_ERRNO;
    }
    return &apple_errno;
}

static void
set_linux_errno(void)
{
    if (errno == IN_APPLE_ERRNO) {
        errno = to_linux_error(apple_errno);
    }
}

EXPORT(strerror, char *)(int number) { return strerror(to_linux_error(number)); }

EXPORT(strerror_r, int)(int number, char *buffer, size_t size)
{
    char text[256];
    const char *found = strerror_r(to_linux_error(number), text, sizeof(text)); /* GNU's, which returns the text */
    size_t length = strlen(found);
    if (size == 0) {
        return to_apple_error(ERANGE);
    }
    size_t kept = length < size ? length : size - 1;
    memcpy(buffer, found, kept);
    buffer[kept] = 0;
    return length < size ? 0 : to_apple_error(ERANGE);
}

EXPORT(perror, void)(const char *text)
{
    set_linux_errno();
    perror(text);
}

/* ---- functions of CPython that read errno ---- */

extern PyObject *PyErr_SetFromErrno(PyObject *);
extern PyObject *PyErr_SetFromErrnoWithFilename(PyObject *, const char *);
extern PyObject *PyErr_SetFromErrnoWithFilenameObject(PyObject *, PyObject *);
extern PyObject *PyErr_SetFromErrnoWithFilenameObjects(PyObject *, PyObject *, PyObject *);

EXPORT(PyErr_SetFromErrno, PyObject *)(PyObject *type)
{
    set_linux_errno();
    return PyErr_SetFromErrno(type);
}

EXPORT(PyErr_SetFromErrnoWithFilename, PyObject *)(PyObject *type, const char *name)
{
    set_linux_errno();
    return PyErr_SetFromErrnoWithFilename(type, name);
}

EXPORT(PyErr_SetFromErrnoWithFilenameObject, PyObject *)(PyObject *type, PyObject *name)
{
    set_linux_errno();
    return PyErr_SetFromErrnoWithFilenameObject(type, name);
}

EXPORT(PyErr_SetFromErrnoWithFilenameObjects, PyObject *)(PyObject *type, PyObject *name, PyObject *second)
{
    set_linux_errno();
    return PyErr_SetFromErrnoWithFilenameObjects(type, name, second);
}
