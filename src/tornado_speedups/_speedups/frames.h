/* WebSocket frames (RFC 6455, section 5.2): masking them, parsing all that a buffer holds, and building one. */

#ifndef TORNADO_SPEEDUPS_FRAMES_H
#define TORNADO_SPEEDUPS_FRAMES_H

#include "args.h"
#include "mask.h"

static PyObject *
mask_to_bytes(const BytesArg *mask, const BytesArg *data)
{
    if (check_mask(mask) < 0) {
        return NULL;
    }
    PyObject *masked = PyBytes_FromStringAndSize(NULL, data->length);
    if (masked != NULL) {
        xor_mask((unsigned char *)PyBytes_AsString(masked), data->bytes, (size_t)data->length,
                 load_mask(mask->bytes));
    }
    return masked;
}

static PyObject *
websocket_mask(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"mask", "data"};
    BytesArg mask, data;
    if (count != 2) {
        return raise_wrong_count("websocket_mask", count, names, 2, 2);
    }
    if (open_arg(&mask, arguments[0], "mask") < 0) {
        return NULL;
    }
    if (open_arg(&data, arguments[1], "data") < 0) {
        close_arg(&mask);
        return NULL;
    }
    PyObject *masked = mask_to_bytes(&mask, &data);
    close_arg(&data);
    close_arg(&mask);
    return masked;
}

/* Rotate the mask for the rest of a payload after `offset` bytes. Returns 0, or -1 with an exception. */
static int
rotate_mask_arg(uint32_t *rotated, const BytesArg *mask, PyObject *offset)
{
    if (check_mask(mask) < 0) {
        return -1;
    }
    Py_ssize_t passed = 0;
    if (offset != NULL && read_size(&passed, offset, "offset") < 0) {
        return -1;
    }
    if (passed < 0) {
        PyErr_SetString(PyExc_ValueError, "offset must not be negative");
        return -1;
    }
    uint64_t exact = (uint64_t)passed;
    if (passed == PY_SSIZE_T_MAX) { /* clipped, but the lowest bits count */
        PyObject *number = PyNumber_Index(offset);
        if (number == NULL) {
            return -1;
        }
        exact = PyLong_AsUnsignedLongLongMask(number);
        Py_DecRef(number);
    }
    *rotated = rotate_mask(load_mask(mask->bytes), (size_t)exact);
    return 0;
}

/* With the GIL, nobody can resize a bytearray before we return. Its buffer then needs no request and no release, which
   halves the time of masking a short payload. Py_SIZE is no call there. */
#if defined(Py_GIL_DISABLED) || defined(Py_TARGET_ABI3T)
#define IS_BYTEARRAY_WITH_GIL(object) 0
#else
#define IS_BYTEARRAY_WITH_GIL(object) Py_IS_TYPE(object, &PyByteArray_Type)
#endif

static int
mask_buffer(PyObject *object, uint32_t mask)
{
    Py_buffer view;
    if (IS_BYTEARRAY_WITH_GIL(object)) {
        unsigned char *bytes = (unsigned char *)PyByteArray_AsString(object);
        xor_mask(bytes, bytes, (size_t)Py_SIZE(object), mask);
        return 0;
    }
    if (open_writable_buffer(&view, object, "buffer") < 0) {
        return -1;
    }
    xor_mask(view.buf, view.buf, (size_t)view.len, mask);
    PyBuffer_Release(&view);
    return 0;
}

static PyObject *
websocket_mask_inplace(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"mask", "buffer", "offset"};
    uint32_t rotated;
    BytesArg mask;
    if (count < 2 || count > 3) {
        return raise_wrong_count("websocket_mask_inplace", count, names, 2, 3);
    }
    if (open_arg(&mask, arguments[0], "mask") < 0) {
        return NULL;
    }
    int status = rotate_mask_arg(&rotated, &mask, count == 3 ? arguments[2] : NULL);
    close_arg(&mask);
    if (status < 0 || mask_buffer(arguments[1], rotated) < 0) {
        return NULL;
    }
    return new_none();
}

/* The header of a frame; sizes are in bytes. `size` is that of the whole frame as far as it is known, and never more
   than PY_SSIZE_T_MAX, which no buffer reaches. */
typedef struct {
    unsigned char head;
    int masked;
    uint64_t header;
    uint64_t size;
} Frame;

static uint64_t
read_big_endian(const unsigned char *bytes, uint64_t count)
{
    uint64_t number = 0;
    for (uint64_t i = 0; i < count; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

/* Return whether a frame is complete; never if it is a control frame with an extended length. Inlined for speed. */
static inline Py_ALWAYS_INLINE int
read_frame(Frame *frame, const unsigned char *bytes, uint64_t available)
{
    frame->size = 2;
    if (available < 2) {
        return 0;
    }
    frame->head = bytes[0];
    frame->masked = bytes[1] & 0x80;
    uint64_t length = bytes[1] & 0x7f;
    uint64_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (extended && frame->head & 0x08) {
        return 0;
    }
    frame->header = 2 + extended + (frame->masked ? 4 : 0);
    if (extended && available < 2 + extended) {
        frame->size = 2 + extended;
        return 0;
    }
    if (extended) {
        length = read_big_endian(bytes + 2, extended);
    }
    frame->size = length > PY_SSIZE_T_MAX - frame->header ? PY_SSIZE_T_MAX : frame->header + length;
    return available >= frame->size;
}

static inline Py_ALWAYS_INLINE PyObject *
read_payload(const Frame *frame, const unsigned char *bytes)
{
    const unsigned char *from = bytes + frame->header;
    uint64_t length = frame->size - frame->header;
    if (!frame->masked) {
        return PyBytes_FromStringAndSize((const char *)from, (Py_ssize_t)length);
    }
    PyObject *payload = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (payload != NULL && length) {
        xor_mask((unsigned char *)PyBytes_AsString(payload), from, (size_t)length, load_mask(from - 4));
    }
    return payload;
}

static inline Py_ALWAYS_INLINE PyObject *
make_pair(const Frame *frame, const unsigned char *bytes)
{
    PyObject *parts[] = {PyLong_FromLong(frame->head), read_payload(frame, bytes)};
    return pack(parts, 2);
}

static inline Py_ALWAYS_INLINE int
append_frame(PyObject *frames, const Frame *frame, const unsigned char *bytes)
{
    PyObject *pair = make_pair(frame, bytes);
    if (pair == NULL) {
        return -1;
    }
    int status = PyList_Append(frames, pair);
    Py_DecRef(pair);
    return status;
}

static PyObject *
parse_all(const BytesArg *buffer, Py_ssize_t start, Py_ssize_t limit)
{
    Frame frame;
    PyObject *frames = PyList_New(0);
    if (frames == NULL) {
        return NULL;
    }
    while (read_frame(&frame, buffer->bytes + start, (uint64_t)(buffer->length - start)) && limit > 0) {
        if (append_frame(frames, &frame, buffer->bytes + start) < 0) {
            Py_DecRef(frames);
            return NULL;
        }
        start += (Py_ssize_t)frame.size;
        limit--;
    }
    PyObject *parts[] = {frames, PyLong_FromSsize_t(start), PyLong_FromSsize_t((Py_ssize_t)frame.size)};
    return pack(parts, 3);
}

static PyObject *
parse_frames(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"buffer", "start", "limit"};
    Py_ssize_t start, limit;
    BytesArg buffer;
    if (count != 3) {
        return raise_wrong_count("parse_frames", count, names, 3, 3);
    }
    if (read_size(&start, arguments[1], "start") < 0 || read_size(&limit, arguments[2], "limit") < 0
        || open_arg(&buffer, arguments[0], "buffer") < 0) {
        return NULL;
    }
    PyObject *parsed = NULL;
    if (start < 0 || start > buffer.length) {
        PyErr_Format(PyExc_ValueError, "start must be between 0 and %zd", buffer.length);
    } else if (limit < 1) {
        PyErr_SetString(PyExc_ValueError, "limit must be at least 1");
    } else {
        parsed = parse_all(&buffer, start, limit);
    }
    close_arg(&buffer);
    return parsed;
}

static int
get_extended_size(uint64_t length)
{
    return length < 126 ? 0 : length <= 0xffff ? 2 : 8;
}

/* Write the header without the mask, and return where it ends. */
static unsigned char *
write_header(unsigned char *to, unsigned char head, uint64_t length, unsigned char mask_bit)
{
    int extended = get_extended_size(length);
    *to++ = head;
    *to++ = (unsigned char)(extended == 0 ? length : extended == 2 ? 126 : 127) | mask_bit;
    for (int shift = 8 * extended; shift > 0; shift -= 8) {
        *to++ = (unsigned char)(length >> (shift - 8));
    }
    return to;
}

/* The parts of a frame to build, and its size in bytes. */
typedef struct {
    unsigned char head;
    BytesArg payload;
    BytesArg mask;
    Py_ssize_t size;
} Parts;

static int
measure_parts(Parts *parts)
{
    Py_ssize_t header = 2 + get_extended_size((uint64_t)parts->payload.length) + parts->mask.length;
    if (parts->payload.length > PY_SSIZE_T_MAX - header) {
        PyErr_NoMemory();
        return -1;
    }
    parts->size = header + parts->payload.length;
    return 0;
}

static void
write_parts(unsigned char *to, const Parts *parts)
{
    const unsigned char *payload = parts->payload.bytes;
    uint64_t length = (uint64_t)parts->payload.length;
    if (parts->mask.length) {
        to = write_header(to, parts->head, length, 0x80);
        COPY_CONSTANT_SIZE(to, parts->mask.bytes, 4);
        xor_mask(to + 4, payload, (size_t)length, load_mask(parts->mask.bytes));
    } else {
        copy_bytes(write_header(to, parts->head, length, 0), payload, (size_t)length);
    }
}

static int
open_mask(BytesArg *mask, PyObject *object)
{
    if (object == Py_None) {
        mask->length = 0;
        mask->buffer.obj = NULL;
        return 0;
    }
    if (open_arg(mask, object, "mask") < 0) {
        return -1;
    }
    if (check_mask(mask) < 0) {
        close_arg(mask);
        return -1;
    }
    return 0;
}

static void
close_parts(Parts *parts)
{
    close_arg(&parts->mask);
    close_arg(&parts->payload);
}

/* From the arguments head, payload and mask. Returns 0, or -1 with an exception: then there is nothing to close. */
static int
open_parts(Parts *parts, PyObject *const *arguments)
{
    Py_ssize_t head;
    if (read_size(&head, arguments[0], "head") < 0 || open_arg(&parts->payload, arguments[1], "payload") < 0) {
        return -1;
    }
    parts->head = (unsigned char)head;
    if (head < 0 || head > 0xff) {
        PyErr_SetString(PyExc_ValueError, "head must be between 0 and 255");
    } else if (open_mask(&parts->mask, arguments[2]) == 0) {
        if (measure_parts(parts) == 0) {
            return 0;
        }
        close_arg(&parts->mask);
    }
    close_arg(&parts->payload);
    return -1;
}

static PyObject *
build_from_parts(const Parts *parts)
{
    PyObject *frame = PyBytes_FromStringAndSize(NULL, parts->size);
    if (frame != NULL) {
        write_parts((unsigned char *)PyBytes_AsString(frame), parts);
    }
    return frame;
}

static PyObject *
build_frame(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"head", "payload", "mask"};
    Parts parts;
    if (count != 3) {
        return raise_wrong_count("build_frame", count, names, 3, 3);
    }
    if (open_parts(&parts, arguments) < 0) {
        return NULL;
    }
    PyObject *frame = build_from_parts(&parts);
    close_parts(&parts);
    return frame;
}

static PyObject *
write_to_buffer(PyObject *object, const Parts *parts)
{
    Py_buffer view;
    if (open_writable_buffer(&view, object, "buffer") < 0) {
        return NULL;
    }
    int fits = view.len >= parts->size;
    if (fits) {
        write_parts(view.buf, parts);
    } else {
        PyErr_Format(PyExc_ValueError, "buffer must have %zd bytes at least, not %zd", parts->size, view.len);
    }
    PyBuffer_Release(&view);
    return fits ? PyLong_FromSsize_t(parts->size) : NULL;
}

static PyObject *
build_frame_into(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"head", "payload", "mask", "buffer"};
    Parts parts;
    if (count != 4) {
        return raise_wrong_count("build_frame_into", count, names, 4, 4);
    }
    if (open_parts(&parts, arguments) < 0) {
        return NULL;
    }
    PyObject *size = write_to_buffer(arguments[3], &parts);
    close_parts(&parts);
    return size;
}

#endif
