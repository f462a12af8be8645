/* Members of types that are `long`: T_LONG and T_ULONG of structmember.h (Py_T_LONG, Py_T_ULONG) have 32 bits there.

   A read-only one becomes T_INT or T_UINT. A writable one becomes an attribute with a getter and a setter of this file,
   since T_INT accepts values out of range (with a RuntimeWarning), where T_LONG raises OverflowError.
   Source: Python/structmember.c; https://docs.python.org/3/c-api/structures.html#member-definitions */

#include <limits.h>

#include "windows.h"

enum { T_INT = 1, T_LONG = 2, T_UINT = 11, T_ULONG = 12 };
enum { READONLY = 1 };
enum { SLOT_MEMBERS = 72, SLOT_GETSET = 73 }; /* Py_tp_members, Py_tp_getset of typeslots.h */

typedef struct { /* PyGetSetDef of descrobject.h */
    const char *name;
    PyObject *(*get)(PyObject *, void *);
    int (*set)(PyObject *, PyObject *, void *);
    const char *doc;
    void *closure; /* of ours: the offset in the object */
} GetSet;

extern int w_PyLong_AsLong(PyObject *);
extern u32 w_PyLong_AsUnsignedLong(PyObject *);
extern void PyErr_Clear(void);
extern int PyErr_ExceptionMatches(PyObject *);
extern PyObject *PyExc_RuntimeWarning;

/* ---- the attributes ---- */

static int *
field_of(PyObject *object, void *offset)
{
    return (int *)((char *)object + (ssize_t)offset);
}

static PyObject *
get_long(PyObject *object, void *offset)
{
    return PyLong_FromLong(*field_of(object, offset));
}

static PyObject *
get_unsigned_long(PyObject *object, void *offset)
{
    return PyLong_FromUnsignedLong((u32)*field_of(object, offset));
}

static int
refuse_deletion(PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "can't delete numeric/char attribute");
    }
    return value == NULL;
}

static int
set_long(PyObject *object, PyObject *value, void *offset)
{
    if (refuse_deletion(value)) {
        return -1;
    }
    int number = w_PyLong_AsLong(value);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    *field_of(object, offset) = number;
    return 0;
}

/* A negative value is stored with a warning, as CPython does. */
static int
set_unsigned_long(PyObject *object, PyObject *value, void *offset)
{
    if (refuse_deletion(value)) {
        return -1;
    }
    u32 number = w_PyLong_AsUnsignedLong(value);
    if (number == UINT_MAX && PyErr_Occurred()) {
        PyErr_Clear();
        int negative = w_PyLong_AsLong(value);
        if (negative == -1 && PyErr_Occurred()) {
            return -1;
        }
        number = (u32)negative;
        if (PyErr_WarnEx(PyExc_RuntimeWarning, "Writing negative value into unsigned field", 1) < 0) {
            return -1;
        }
    }
    *field_of(object, offset) = (int)number;
    return 0;
}

/* ---- the tables ---- */

static int
is_long(const PyMemberDef *member)
{
    return member->type == T_LONG || member->type == T_ULONG;
}

static PyMemberDef
convert_member(const PyMemberDef *member)
{
    PyMemberDef copy = *member;
    copy.type = member->type == T_LONG ? T_INT : member->type == T_ULONG ? T_UINT : member->type;
    return copy;
}

static size_t
count_members(const PyMemberDef *members)
{
    size_t count = 0;
    while (members && members[count].name) {
        count++;
    }
    return count;
}

static size_t
count_attributes(const GetSet *attributes)
{
    size_t count = 0;
    while (attributes && attributes[count].name) {
        count++;
    }
    return count;
}

static size_t
count_long(const PyMemberDef *members)
{
    size_t found = 0;
    for (size_t i = 0; members && members[i].name; i++) {
        found += (size_t)is_long(&members[i]);
    }
    return found;
}

static GetSet
make_attribute(const PyMemberDef *member)
{
    int is_signed = member->type == T_LONG;
    return (GetSet){member->name, is_signed ? get_long : get_unsigned_long, is_signed ? set_long : set_unsigned_long,
                    member->doc, (void *)member->offset};
}

/* Replace the tables of a type where a member is a `long`. CPython keeps pointers into the new ones, which live as long
   as the process: a type doesn't free its tables. Returns 0, or -1 without memory. */
static int
replace_tables(PyMemberDef **members, GetSet **attributes)
{
    size_t found = count_long(*members);
    if (found == 0) {
        return 0;
    }
    size_t kept = 0, added = count_attributes(*attributes);
    PyMemberDef *new_members = calloc(count_members(*members) + 1, sizeof(PyMemberDef));
    GetSet *new_attributes = calloc(added + found + 1, sizeof(GetSet));
    if (new_members == NULL || new_attributes == NULL) {
        return -1;
    }
    memcpy(new_attributes, *attributes ? (void *)*attributes : (void *)new_attributes, added * sizeof(GetSet));
    for (const PyMemberDef *member = *members; member->name; member++) {
        if (is_long(member) && !(member->flags & READONLY)) {
            new_attributes[added++] = make_attribute(member);
        } else {
            new_members[kept++] = convert_member(member);
        }
    }
    *members = new_members;
    *attributes = new_attributes;
    return 0;
}

/* ---- static types ---- */

/* Offsets in PyTypeObject (cpython/object.h), the same from 3.11 to 3.15; free-threaded builds have a longer head. */
enum { OFFSET_MEMBERS = 240, OFFSET_GETSET = 248, LONGER_HEAD = 16 };

static int
has_longer_head(void)
{
    return strstr(Py_GetVersion(), "free-threading") != NULL;
}

EXPORT(PyType_Ready, int)(PyTypeObject *type)
{
    char *start = (char *)type + (has_longer_head() ? LONGER_HEAD : 0);
    if (replace_tables((PyMemberDef **)(start + OFFSET_MEMBERS), (GetSet **)(start + OFFSET_GETSET)) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return PyType_Ready(type);
}

/* ---- heap types: CPython copies the slots, so that ours are freed after the call ---- */

typedef struct {
    PyType_Spec spec;
    PyType_Slot *slots;
} SpecCopy;

static PyType_Slot *
find_slot(PyType_Slot *slots, int number)
{
    while (slots->slot && slots->slot != number) {
        slots++;
    }
    return slots->slot ? slots : NULL;
}

/* Returns the spec to use: `spec` itself where nothing differs, or that in `copy`; NULL without memory. */
static PyType_Spec *
convert_spec(PyType_Spec *spec, SpecCopy *copy)
{
    copy->slots = NULL;
    PyType_Slot *members = find_slot(spec->slots, SLOT_MEMBERS);
    if (members == NULL || count_long(members->pfunc) == 0) {
        return spec;
    }
    size_t count = 0;
    while (spec->slots[count].slot) {
        count++;
    }
    copy->spec = *spec;
    copy->spec.slots = copy->slots = calloc(count + 2, sizeof(PyType_Slot));
    if (copy->slots == NULL) {
        return NULL;
    }
    memcpy(copy->slots, spec->slots, count * sizeof(PyType_Slot));
    PyType_Slot *attributes = find_slot(copy->slots, SLOT_GETSET);
    if (attributes == NULL) {
        attributes = &copy->slots[count];
        attributes->slot = SLOT_GETSET;
    }
    members = find_slot(copy->slots, SLOT_MEMBERS);
    return replace_tables((PyMemberDef **)&members->pfunc, (GetSet **)&attributes->pfunc) < 0 ? NULL : &copy->spec;
}

#define MAKE_TYPE(call)                                     \
    SpecCopy copy;                                          \
    PyType_Spec *converted = convert_spec(spec, &copy);     \
    PyObject *type = converted ? (call) : PyErr_NoMemory(); \
    free(copy.slots);                                       \
    return type

EXPORT(PyType_FromSpec, PyObject *)(PyType_Spec *spec) { MAKE_TYPE(PyType_FromSpec(converted)); }

EXPORT(PyType_FromSpecWithBases, PyObject *)(PyType_Spec *spec, PyObject *bases)
{
    MAKE_TYPE(PyType_FromSpecWithBases(converted, bases));
}

EXPORT(PyType_FromModuleAndSpec, PyObject *)(PyObject *module, PyType_Spec *spec, PyObject *bases)
{
    MAKE_TYPE(PyType_FromModuleAndSpec(module, converted, bases));
}

extern __attribute__((weak)) PyObject *PyType_FromMetaclass(PyTypeObject *, PyObject *, PyType_Spec *,
                                                            PyObject *); /* 3.12 */

EXPORT(PyType_FromMetaclass, PyObject *)(PyTypeObject *meta, PyObject *module, PyType_Spec *spec, PyObject *bases)
{
    if (PyType_FromMetaclass == NULL) {
        end_unsupported(STATUS_UNRESOLVED_CALL, "PyType_FromMetaclass isn't in this Python");
    }
    MAKE_TYPE(PyType_FromMetaclass(meta, module, converted, bases));
}

/* ---- heap types by the slots of 3.15: PEP 820 ---- */

typedef struct { /* PySlot of slots.h */
    u16 id, flags;
    u32 reserved;
    void *value;
} Slot;

extern __attribute__((weak)) PyObject *PyType_FromSlots(Slot *); /* 3.15 */

EXPORT(PyType_FromSlots, PyObject *)(Slot *slots)
{
    if (PyType_FromSlots == NULL) {
        end_unsupported(STATUS_UNRESOLVED_CALL, "PyType_FromSlots isn't in this Python");
    }
    size_t count = 0, members = 0, attributes = 0;
    for (; slots[count].id; count++) {
        members = slots[count].id == SLOT_MEMBERS ? count + 1 : members;
        attributes = slots[count].id == SLOT_GETSET ? count + 1 : attributes;
    }
    if (members == 0 || count_long(slots[members - 1].value) == 0) {
        return PyType_FromSlots(slots);
    }
    Slot *copy = calloc(count + 2, sizeof(Slot));
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    memcpy(copy, slots, count * sizeof(Slot));
    Slot *getset = attributes ? &copy[attributes - 1] : &copy[count];
    getset->id = SLOT_GETSET;
    getset->flags = slots[members - 1].flags;
    BOOL done = replace_tables((PyMemberDef **)&copy[members - 1].value, (GetSet **)&getset->value) == 0;
    PyObject *type = done ? PyType_FromSlots(copy) : PyErr_NoMemory();
    free(copy);
    return type;
}

/* ---- members without a type ---- */

EXPORT(PyMember_GetOne, PyObject *)(const char *object, PyMemberDef *member)
{
    PyMemberDef copy = convert_member(member);
    return PyMember_GetOne(object, &copy);
}

EXPORT(PyMember_SetOne, int)(char *object, PyMemberDef *member, PyObject *value)
{
    if (!is_long(member) || member->flags & READONLY) {
        return PyMember_SetOne(object, member, value);
    }
    GetSet attribute = make_attribute(member);
    return attribute.set((PyObject *)object, value, attribute.closure);
}

EXPORT(PyDescr_NewMember, PyObject *)(PyTypeObject *type, PyMemberDef *member)
{
    if (!is_long(member)) {
        return PyDescr_NewMember(type, member);
    }
    extern PyObject *PyDescr_NewGetSet(PyTypeObject *, GetSet *);
    GetSet *attribute = malloc(sizeof(GetSet)); /* the descriptor points to it */
    if (attribute == NULL) {
        return PyErr_NoMemory();
    }
    *attribute = make_attribute(member);
    attribute->set = member->flags & READONLY ? NULL : attribute->set;
    return PyDescr_NewGetSet(type, attribute);
}
