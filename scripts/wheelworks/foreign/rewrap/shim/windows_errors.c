/* Windows' error codes: GetLastError(), their texts, and the C API's exceptions for them.
   Source: https://learn.microsoft.com/windows/win32/debug/system-error-codes */

#include "windows.h"

__thread u32 last_error;

static const struct {
    u32 error;
    int number;
    const char *text;
} errors[] = {
    /* the first row of an errno is the one that error_of_errno() returns */
    {ERROR_SUCCESS, 0, "The operation completed successfully."},
    {ERROR_FILE_NOT_FOUND, ENOENT, "The system cannot find the file specified."},
    {ERROR_PATH_NOT_FOUND, ENOENT, "The system cannot find the path specified."},
    {ERROR_TOO_MANY_OPEN_FILES, EMFILE, "The system cannot open the file."},
    {ERROR_ACCESS_DENIED, EACCES, "Access is denied."},
    {ERROR_ACCESS_DENIED, EPERM, "Access is denied."},
    {ERROR_ACCESS_DENIED, EISDIR, "Access is denied."},
    {ERROR_INVALID_HANDLE, EBADF, "The handle is invalid."},
    {ERROR_NOT_ENOUGH_MEMORY, ENOMEM, "Not enough memory resources are available to process this command."},
    {ERROR_NOT_SAME_DEVICE, EXDEV, "The system cannot move the file to a different disk drive."},
    {ERROR_NO_MORE_FILES, ENOENT, "There are no more files."},
    {ERROR_GEN_FAILURE, EIO, "A device attached to the system is not functioning."},
    {ERROR_HANDLE_EOF, EINVAL, "Reached the end of the file."},
    {ERROR_NOT_SUPPORTED, ENOSYS, "The request is not supported."},
    {ERROR_ALREADY_EXISTS, EEXIST, "Cannot create a file when that file already exists."},
    {ERROR_FILE_EXISTS, EEXIST, "The file exists."},
    {ERROR_INVALID_PARAMETER, EINVAL, "The parameter is incorrect."},
    {ERROR_BROKEN_PIPE, EPIPE, "The pipe has been ended."},
    {ERROR_DISK_FULL, ENOSPC, "There is not enough space on the disk."},
    {ERROR_INSUFFICIENT_BUFFER, EINVAL, "The data area passed to a system call is too small."},
    {ERROR_MOD_NOT_FOUND, ENOENT, "The specified module could not be found."},
    {ERROR_PROC_NOT_FOUND, EINVAL, "The specified procedure could not be found."},
    {ERROR_DIR_NOT_EMPTY, ENOTEMPTY, "The directory is not empty."},
    {ERROR_BUSY, EBUSY, "The requested resource is in use."},
    {ERROR_ENVVAR_NOT_FOUND, EINVAL, "The system could not find the environment option that was entered."},
    {ERROR_FILENAME_EXCED_RANGE, ENAMETOOLONG, "The filename or extension is too long."},
    {ERROR_DIRECTORY, ENOTDIR, "The directory name is invalid."},
    {ERROR_NO_UNICODE_TRANSLATION, EINVAL,
     "No mapping for the Unicode character exists in the target multi-byte code page."},
    {ERROR_TIMEOUT, ETIMEDOUT, "This operation returned because the timeout period expired."},
};
#define COUNT (sizeof(errors) / sizeof(*errors))

u32
error_of_errno(int number)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (errors[i].number == number) {
            return errors[i].error;
        }
    }
    return ERROR_GEN_FAILURE;
}

int
errno_of_error(u32 error)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (errors[i].error == error) {
            return errors[i].number;
        }
    }
    return EINVAL;
}

const char *
describe_error(u32 error)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (errors[i].error == error) {
            return errors[i].text;
        }
    }
    return NULL;
}

BOOL
fail(u32 error)
{
    last_error = error;
    return 0;
}

BOOL
fail_errno(void)
{
    return fail(error_of_errno(errno));
}

EXPORT(GetLastError, u32)(void) { return last_error; }

EXPORT(SetLastError, void)(u32 error) { last_error = error; }

/* ---- exceptions of the C API: an OSError with the attribute winerror ---- */

extern PyObject *Py_VaBuildValue(const char *, va_list);
extern PyObject *Py_BuildValue(const char *, ...);
extern int PyObject_SetAttrString(PyObject *, const char *, PyObject *);
extern PyObject *PyExc_OSError;

EXPORT(PyExc_WindowsError, PyObject *);

static PyObject *
build_arguments(u32 error, PyObject *file, PyObject *second_file)
{
    const char *text = describe_error(error);
    char unknown[40];
    snprintf(unknown, sizeof(unknown), "Windows Error 0x%x", error);
    text = text ? text : unknown;
    int number = errno_of_error(error);
    if (second_file != NULL) {
        return Py_BuildValue("(isOIO)", number, text, file, error, second_file);
    }
    return file ? Py_BuildValue("(isOI)", number, text, file, error) : Py_BuildValue("(is)", number, text);
}

/* Raise an exception for a system error code; 0 means the last one. Returns NULL.
   Source: PyErr_SetExcFromWindowsErrWithFilenameObjects() of Python/errors.c. */
EXPORT(PyErr_SetExcFromWindowsErrWithFilenameObjects, PyObject *)(PyObject *type, int code, PyObject *file,
                                                                  PyObject *second)
{
    u32 error = code ? (u32)code : last_error;
    PyObject *arguments = build_arguments(error, file, second);
    PyObject *exception = arguments ? PyObject_CallObject(type, arguments) : NULL;
    PyObject *number = exception ? PyLong_FromLong((long)error) : NULL;
    if (number != NULL && PyObject_SetAttrString(exception, "winerror", number) == 0) {
        PyErr_SetObject(type, exception);
    }
    PyObject *all[] = {arguments, exception, number};
    for (size_t i = 0; i < 3; i++) {
        if (all[i] != NULL) {
            Py_DecRef(all[i]);
        }
    }
    return NULL;
}

EXPORT(PyErr_SetExcFromWindowsErrWithFilenameObject, PyObject *)(PyObject *type, int code, PyObject *file)
{
    return w_PyErr_SetExcFromWindowsErrWithFilenameObjects(type, code, file, NULL);
}

EXPORT(PyErr_SetExcFromWindowsErrWithFilename, PyObject *)(PyObject *type, int code, const char *file)
{
    u32 error = code ? (u32)code : last_error; /* before Python's own calls change it */
    PyObject *name = file ? PyUnicode_DecodeUTF8(file, (ssize_t)strlen(file), "surrogateescape") : NULL;
    if (file != NULL && name == NULL) {
        return NULL;
    }
    w_PyErr_SetExcFromWindowsErrWithFilenameObjects(type, (int)error, name, NULL);
    if (name != NULL) {
        Py_DecRef(name);
    }
    return NULL;
}

EXPORT(PyErr_SetExcFromWindowsErr, PyObject *)(PyObject *type, int code)
{
    return w_PyErr_SetExcFromWindowsErrWithFilenameObjects(type, code, NULL, NULL);
}

EXPORT(PyErr_SetFromWindowsErrWithFilename, PyObject *)(int code, const char *file)
{
    return w_PyErr_SetExcFromWindowsErrWithFilename(PyExc_OSError, code, file);
}

EXPORT(PyErr_SetFromWindowsErr, PyObject *)(int code)
{
    return w_PyErr_SetExcFromWindowsErrWithFilenameObjects(PyExc_OSError, code, NULL, NULL);
}

__attribute__((constructor)) static void
set_exception(void)
{
    w_PyExc_WindowsError = PyExc_OSError;
}
