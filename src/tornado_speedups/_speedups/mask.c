/* XOR with a mask (RFC 6455, section 5.3): to new bytes, and in place. */

#include "arguments.h"
#include "functions.h"
#include "xor.h"

static PyObject *
mask_to_bytes(const Argument *mask, const Argument *data)
{
    if (argument_check_mask(mask) < 0) {
        return NULL;
    }
    PyObject *masked = PyBytes_FromStringAndSize(NULL, data->length);
    if (masked != NULL) {
        xor_mask((unsigned char *)PyBytes_AsString(masked), data->bytes, (size_t)data->length,
                 load_mask(mask->bytes));
    }
    return masked;
}

PyObject *
websocket_mask(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"mask", "data"};
    Argument mask, data;
    if (count != 2) {
        return raise_wrong_count("websocket_mask", count, names, 2, 2);
    }
    if (argument_open(&mask, arguments[0], "mask") < 0) {
        return NULL;
    }
    if (argument_open(&data, arguments[1], "data") < 0) {
        argument_close(&mask);
        return NULL;
    }
    PyObject *masked = mask_to_bytes(&mask, &data);
    argument_close(&data);
    argument_close(&mask);
    return masked;
}

/* The lowest bits of an int of any size. Returns 0, or -1 with an exception. */
static int
low_bits(uint64_t *bits, PyObject *object)
{
    PyObject *number = PyNumber_Index(object);
    if (number == NULL) {
        return -1;
    }
    *bits = PyLong_AsUnsignedLongLongMask(number);
    Py_DecRef(number);
    return 0;
}

/* The mask as it falls on a payload of which `offset` bytes came before; -1 with an exception for a wrong one. */
static int
mask_at(uint32_t *turned, const Argument *mask, PyObject *offset)
{
    if (argument_check_mask(mask) < 0) {
        return -1;
    }
    Py_ssize_t passed = 0;
    if (offset != NULL && argument_as_size(&passed, offset, "offset") < 0) {
        return -1;
    }
    if (passed < 0) {
        PyErr_SetString(PyExc_ValueError, "offset must not be negative");
        return -1;
    }
    uint64_t exact = (uint64_t)passed;
    if (passed == PY_SSIZE_T_MAX && low_bits(&exact, offset) < 0) {
        return -1;
    }
    *turned = turn_mask(load_mask(mask->bytes), (size_t)exact);
    return 0;
}

/* With the GIL nobody can resize a bytearray before we return, so that its buffer needs no request and no release:
   half the time of masking a short payload. Py_SIZE is no call there. */
#if defined(Py_GIL_DISABLED) || defined(Py_TARGET_ABI3T)
#define IS_BORROWABLE(object) 0
#else
#define IS_BORROWABLE(object) Py_IS_TYPE(object, &PyByteArray_Type)
#endif

static int
mask_buffer(PyObject *object, uint32_t mask)
{
    Py_buffer view;
    if (IS_BORROWABLE(object)) {
        unsigned char *bytes = (unsigned char *)PyByteArray_AsString(object);
        xor_mask(bytes, bytes, (size_t)Py_SIZE(object), mask);
        return 0;
    }
    if (argument_open_writable(&view, object, "buffer") < 0) {
        return -1;
    }
    xor_mask(view.buf, view.buf, (size_t)view.len, mask);
    PyBuffer_Release(&view);
    return 0;
}

PyObject *
websocket_mask_inplace(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"mask", "buffer", "offset"};
    uint32_t turned;
    Argument mask;
    if (count < 2 || count > 3) {
        return raise_wrong_count("websocket_mask_inplace", count, names, 2, 3);
    }
    if (argument_open(&mask, arguments[0], "mask") < 0) {
        return NULL;
    }
    int status = mask_at(&turned, &mask, count == 3 ? arguments[2] : NULL);
    argument_close(&mask);
    if (status < 0 || mask_buffer(arguments[1], turned) < 0) {
        return NULL;
    }
    return new_none();
}
