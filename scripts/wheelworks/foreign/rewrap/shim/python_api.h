/* The functions and types of CPython that the shims use: declared here, since one shim serves every version, whose
   headers differ, and free-threaded builds. The symbols are those of the program that loads the module.
   Source: https://docs.python.org/3/c-api/ */

#ifndef WHEELWORKS_PYTHON_API_H
#define WHEELWORKS_PYTHON_API_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct _object PyObject;
typedef struct _typeobject PyTypeObject;

/* descrobject.h; the layout is the same in LLP64 and LP64 */
typedef struct {
    const char *name;
    int type;
    ssize_t offset;
    int flags;
    const char *doc;
} PyMemberDef;

typedef struct {
    int slot;
    void *pfunc;
} PyType_Slot;

typedef struct {
    const char *name;
    int basicsize, itemsize;
    unsigned int flags;
    PyType_Slot *slots;
} PyType_Spec;

/* Reference counts, objects, memory */
extern void Py_IncRef(PyObject *), Py_DecRef(PyObject *);
extern const char *Py_GetVersion(void);
extern void *PyMem_Malloc(size_t);
extern void PyMem_Free(void *);
extern PyObject *PyObject_GetAttr(PyObject *, PyObject *);
extern PyObject *PyObject_GetAttrString(PyObject *, const char *);
extern PyObject *PyObject_CallObject(PyObject *, PyObject *);
extern PyObject *PyObject_Vectorcall(PyObject *, PyObject *const *, size_t, PyObject *);

/* Numbers */
extern long PyLong_AsLong(PyObject *);
extern long PyLong_AsLongAndOverflow(PyObject *, int *);
extern unsigned long PyLong_AsUnsignedLong(PyObject *);
extern unsigned long PyLong_AsUnsignedLongMask(PyObject *);
extern PyObject *PyLong_FromLong(long);
extern PyObject *PyLong_FromUnsignedLong(unsigned long);
extern PyObject *PyBool_FromLong(long);

/* Texts and bytes */
extern PyObject *PyUnicode_DecodeUTF16(const char *, ssize_t, const char *, int *);
extern PyObject *PyUnicode_AsEncodedString(PyObject *, const char *, const char *);
extern PyObject *PyUnicode_DecodeUTF8(const char *, ssize_t, const char *);
extern PyObject *PyUnicode_FromFormatV(const char *, va_list);
extern PyObject *PyUnicode_FromString(const char *);
extern const char *PyUnicode_AsUTF8(PyObject *);
extern PyObject *PyBytes_FromFormatV(const char *, va_list);
extern int PyBytes_AsStringAndSize(PyObject *, char **, ssize_t *);

/* Tuples, modules, types */
extern PyObject *PyTuple_New(ssize_t);
extern ssize_t PyTuple_Size(PyObject *);
extern PyObject *PyTuple_GetItem(PyObject *, ssize_t);
extern int PyTuple_SetItem(PyObject *, ssize_t, PyObject *);
extern char PyTuple_Type;
extern int PyModule_AddIntConstant(PyObject *, const char *, long);
extern int PyType_Ready(PyTypeObject *);
extern int PyType_IsSubtype(PyTypeObject *, PyTypeObject *);
extern PyObject *PyType_FromSpec(PyType_Spec *);
extern PyObject *PyType_FromSpecWithBases(PyType_Spec *, PyObject *);
extern PyObject *PyType_FromModuleAndSpec(PyObject *, PyType_Spec *, PyObject *);
extern PyObject *PyDescr_NewMember(PyTypeObject *, PyMemberDef *);
extern PyObject *PyMember_GetOne(const char *, PyMemberDef *);
extern int PyMember_SetOne(char *, PyMemberDef *, PyObject *);

/* Arguments and formats */
extern int PyArg_VaParse(PyObject *, const char *, va_list);
extern int PyArg_VaParseTupleAndKeywords(PyObject *, PyObject *, const char *, char **, va_list);
extern PyObject *Py_VaBuildValue(const char *, va_list);
extern int PyOS_vsnprintf(char *, size_t, const char *, va_list);

/* Exceptions */
extern PyObject *PyExc_OSError, *PyExc_OverflowError, *PyExc_SystemError, *PyExc_TypeError, *PyExc_ValueError;
extern PyObject *PyErr_Occurred(void);
extern PyObject *PyErr_NoMemory(void);
extern PyObject *PyErr_Format(PyObject *, const char *, ...);
extern PyObject *PyErr_FormatV(PyObject *, const char *, va_list);
extern void PyErr_SetString(PyObject *, const char *);
extern void PyErr_SetObject(PyObject *, PyObject *);
extern int PyErr_WarnEx(PyObject *, const char *, ssize_t);
extern void PyErr_WriteUnraisable(PyObject *);

/* Threads */
extern unsigned long PyThread_get_thread_ident(void);
extern unsigned long PyThread_start_new_thread(void (*)(void *), void *);
extern int PyThreadState_SetAsyncExc(unsigned long, PyObject *);

#endif
