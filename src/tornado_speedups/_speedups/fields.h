/* The fields of the types, and the types themselves, from which Python classes derive.

   With the GIL, a field is a member of the instance's structure, an object or a count, which C reads and writes itself.
   Without the GIL, another thread could set it meanwhile, and the layout of objects is unknown in the stable ABI of
   3.15: there the types have methods and no fields. The Python classes then have a slot for each field, and C uses it
   as an attribute, which is safe. Either way, a field that was never set raises AttributeError.

   References are counted by Py_IncRef(), because the inlined Py_INCREF() of 3.11 counts up immortal objects of later
   versions, which Py_DecRef() doesn't count down. */

#ifndef TORNADO_SPEEDUPS_FIELDS_H
#define TORNADO_SPEEDUPS_FIELDS_H

#include "args.h"
#include "state.h"

#if defined(Py_GIL_DISABLED) || defined(Py_TARGET_ABI3T)
#define HAS_FIELDS 0
#else
#define HAS_FIELDS 1
#endif

/* The next three functions take the reference of their first argument, which is a result that may be NULL. */

/* Returns 0, or -1 for NULL. */
static inline int
drop(PyObject *result)
{
    Py_DecRef(result);
    return result == NULL ? -1 : 0;
}

/* Returns 0 for None, 1 for anything else, -1 for NULL. */
static inline int
is_some(PyObject *object)
{
    int found = object == NULL ? -1 : object != Py_None;
    Py_DecRef(object);
    return found;
}

/* Returns 0 or 1; -1 with an exception. */
static inline int
is_true(PyObject *object)
{
    int found = object == NULL ? -1 : object == Py_True ? 1 : object == Py_False ? 0 : PyObject_IsTrue(object);
    Py_DecRef(object);
    return found;
}

#define READER_FIELDS(FIELD, COUNT)                                                                                    \
    FIELD(Reader, alone)                                                                                               \
    FIELD(Reader, data)                                                                                                \
    FIELD(Reader, fragments)                                                                                           \
    FIELD(Reader, frames)                                                                                              \
    FIELD(Reader, long_frame)                                                                                          \
    FIELD(Reader, max_message_size)                                                                                    \
    COUNT(Reader, wire_bytes)

#define WRITER_FIELDS(FIELD, COUNT)                                                                                    \
    FIELD(Writer, frames)                                                                                              \
    FIELD(Writer, holds)

#define TRANSPORT_FIELDS(FIELD, COUNT)                                                                                 \
    FIELD(Transport, _reader)                                                                                          \
    COUNT(Transport, _turn_bytes)                                                                                      \
    FIELD(Transport, _writer)                                                                                          \
    FIELD(Transport, chunk)                                                                                            \
    FIELD(Transport, deadline)                                                                                         \
    FIELD(Transport, defers)                                                                                           \
    FIELD(Transport, drained)                                                                                          \
    FIELD(Transport, eager)                                                                                            \
    FIELD(Transport, latest)                                                                                           \
    FIELD(Transport, loop)                                                                                             \
    FIELD(Transport, sent)                                                                                             \
    FIELD(Transport, shared)                                                                                           \
    FIELD(Transport, spare)                                                                                            \
    FIELD(Transport, stream)                                                                                           \
    FIELD(Transport, turn_end)                                                                                         \
    FIELD(Transport, writes)

#define CONNECTION_FIELDS(FIELD, COUNT)                                                                                \
    FIELD(Connection, _alone)                                                                                          \
    FIELD(Connection, _busy)                                                                                           \
    FIELD(Connection, _compressor)                                                                                     \
    FIELD(Connection, _handling)                                                                                       \
    FIELD(Connection, _idle)                                                                                           \
    COUNT(Connection, _message_bytes_in)                                                                               \
    COUNT(Connection, _message_bytes_out)                                                                              \
    FIELD(Connection, _run)                                                                                            \
    FIELD(Connection, _task)                                                                                           \
    FIELD(Connection, _transport)                                                                                      \
    COUNT(Connection, _wire_bytes_out)                                                                                 \
    FIELD(Connection, client_terminated)                                                                               \
    FIELD(Connection, handler)                                                                                         \
    FIELD(Connection, mask_outgoing)

#if HAS_FIELDS

#include <structmember.h>

#define FIELD(Type, name) PyObject *name;
#define COUNT(Type, name) long long name;
typedef struct {
    PyObject_HEAD READER_FIELDS(FIELD, COUNT)
} Reader;
typedef struct {
    PyObject_HEAD WRITER_FIELDS(FIELD, COUNT)
} Writer;
typedef struct {
    PyObject_HEAD TRANSPORT_FIELDS(FIELD, COUNT)
} Transport;
typedef struct {
    PyObject_HEAD CONNECTION_FIELDS(FIELD, COUNT)
} Connection;
#undef FIELD
#undef COUNT

/* Whether a field is true, or something else than None: 0 or 1; -1 with an exception. */
#define IS_TRUE(state, object, Type, name) ((void)(state), test_truth(((Type *)(object))->name, #name))
#define IS_SOME(state, object, Type, name) ((void)(state), test_some(((Type *)(object))->name, #name))

#define GET(state, object, Type, name) ((void)(state), load_field(((Type *)(object))->name, #name))
#define SET(state, object, Type, name, value) ((void)(state), store_field(&((Type *)(object))->name, value))

/* Add a number to a field of type COUNT. Returns 0, or -1 with an exception. */
#define SET_COUNT(state, object, Type, name, number) ((void)(state), ((Type *)(object))->name = (number), 0)
#define ADD(state, object, Type, name, number) ((void)(state), ((Type *)(object))->name += (number), 0)

/* Raise AttributeError for a field that isn't set, and return NULL. */
static NOT_INLINED PyObject *
raise_unset(const char *name)
{
    PyErr_SetString(PyExc_AttributeError, name);
    return NULL;
}

static inline int
test_truth(PyObject *value, const char *name)
{
    if (value == NULL) {
        raise_unset(name);
        return -1;
    }
    return value == Py_True ? 1 : value == Py_False ? 0 : PyObject_IsTrue(value);
}

static inline int
test_some(PyObject *value, const char *name)
{
    if (value == NULL) {
        raise_unset(name);
        return -1;
    }
    return value != Py_None;
}

/* Return a new reference, or NULL with an exception. */
static inline PyObject *
load_field(PyObject *value, const char *name)
{
    if (value == NULL) {
        return raise_unset(name);
    }
    Py_IncRef(value);
    return value;
}

static inline int
store_field(PyObject **field, PyObject *value)
{
    PyObject *old = *field;
    Py_IncRef(value);
    *field = value;
    Py_DecRef(old);
    return 0;
}

#define IGNORE(Type, name)
#define VISIT(Type, name) Py_VISIT(((Type *)self)->name);
#define CLEAR(Type, name) clear_reference(&((Type *)self)->name);
#define FUNCTIONS_OF_GC(Type, FIELDS)                                                                                  \
    static int Type##_traverse(PyObject *self, visitproc visit, void *arg)                                             \
    {                                                                                                                  \
        FIELDS(VISIT, IGNORE)                                                                                          \
        Py_VISIT(Py_TYPE(self));                                                                                       \
        return 0;                                                                                                      \
    }                                                                                                                  \
    static int Type##_clear(PyObject *self)                                                                            \
    {                                                                                                                  \
        FIELDS(CLEAR, IGNORE)                                                                                          \
        return 0;                                                                                                      \
    }
#define MEMBER(Type, name) {#name, T_OBJECT_EX, offsetof(Type, name), 0, NULL},
#define COUNT_MEMBER(Type, name) {#name, T_LONGLONG, offsetof(Type, name), 0, NULL},

/* The types have no deallocator: that of all classes clears the members. */
#define DEFINE_TYPE(Type, FIELDS, methods)                                                                             \
    FUNCTIONS_OF_GC(Type, FIELDS)                                                                                      \
    static PyMemberDef Type##_members[] = {FIELDS(MEMBER, COUNT_MEMBER){NULL, 0, 0, 0, NULL}};                         \
    static PyType_Slot Type##_slots[] = {                                                                              \
        {Py_tp_members, Type##_members},                                                                               \
        {Py_tp_methods, methods},                                                                                      \
        {Py_tp_traverse, (void *)(uintptr_t)Type##_traverse},                                                          \
        {Py_tp_clear, (void *)(uintptr_t)Type##_clear},                                                                \
        {0, NULL},                                                                                                     \
    };                                                                                                                 \
    static PyType_Spec Type##_spec = {                                                                                 \
        .name = "tornado_speedups._speedups." #Type "Base",                                                            \
        .basicsize = sizeof(Type),                                                                                     \
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,                                        \
        .slots = Type##_slots,                                                                                         \
    };

#else

#define IS_TRUE(state, object, Type, name) is_true(GET(state, object, Type, name))
#define IS_SOME(state, object, Type, name) is_some(GET(state, object, Type, name))
#define GET(state, object, Type, name) PyObject_GetAttr(object, (state)->names[NAME_##name])
#define SET(state, object, Type, name, value) PyObject_SetAttr(object, (state)->names[NAME_##name], value)

#define SET_COUNT(state, object, Type, name, number) set_attribute(object, (state)->names[NAME_##name], number)
#define ADD(state, object, Type, name, number) add_to_attribute(object, (state)->names[NAME_##name], number)

static int
set_attribute(PyObject *object, PyObject *name, Py_ssize_t number)
{
    PyObject *value = PyLong_FromSsize_t(number);
    int status = value == NULL ? -1 : PyObject_SetAttr(object, name, value);
    Py_DecRef(value);
    return status;
}

static int
add_to_attribute(PyObject *object, PyObject *name, Py_ssize_t number)
{
    PyObject *old = PyObject_GetAttr(object, name);
    PyObject *added = old == NULL ? NULL : PyLong_FromSsize_t(number);
    PyObject *sum = added == NULL ? NULL : PyNumber_Add(old, added);
    int status = sum == NULL ? -1 : PyObject_SetAttr(object, name, sum);
    Py_DecRef(sum);
    Py_DecRef(added);
    Py_DecRef(old);
    return status;
}

#define DEFINE_TYPE(Type, FIELDS, methods)                                                                             \
    static PyType_Slot Type##_slots[] = {                                                                              \
        {Py_tp_methods, methods},                                                                                      \
        {0, NULL},                                                                                                     \
    };                                                                                                                 \
    static PyType_Spec Type##_spec = {                                                                                 \
        .name = "tornado_speedups._speedups." #Type "Base",                                                            \
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,                                                             \
        .slots = Type##_slots,                                                                                         \
    };

#endif

#if HAS_FIELDS

/* Do what check_type() does for an object of another class than the last one. */
static NOT_INLINED PyObject *
check_class(State *state, PyObject *object, int type)
{
    if (!PyObject_TypeCheck(object, state->types[type])) {
        Py_DecRef(object);
        PyErr_SetString(PyExc_TypeError, "an attribute of a connection was replaced by an object of another type");
        return NULL;
    }
    store_field((PyObject **)&state->classes[type], (PyObject *)Py_TYPE(object));
    return object;
}

/* Return an object, whose reference is given away, if it is of a type or of a class derived from it: then it has the
   fields of the type. Otherwise raise TypeError, and return NULL. */
static inline PyObject *
check_type(State *state, PyObject *object, int type)
{
    return object == NULL || Py_TYPE(object) == state->classes[type] ? object : check_class(state, object, type);
}

#else

static inline PyObject *
check_type(State *Py_UNUSED(state), PyObject *object, int Py_UNUSED(type))
{
    return object;
}

#endif

static int
add_type(PyObject *module, State *state, int index, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    state->types[index] = type;
    return type == NULL ? -1 : PyModule_AddType(module, type);
}

#endif
