/* WebSocket frames (RFC 6455, section 5.2): all that a buffer holds, and one to be sent. */

#include "arguments.h"
#include "functions.h"
#include "xor.h"

/* What a header tells; sizes are in bytes. `size` is that of the whole frame as far as it is known, and never
   more than PY_SSIZE_T_MAX, which no buffer reaches. */
typedef struct {
    unsigned char head;
    int masked;
    uint64_t header;
    uint64_t size;
} Frame;

static uint64_t
big_endian(const unsigned char *bytes, uint64_t count)
{
    uint64_t number = 0;
    for (uint64_t i = 0; i < count; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

/* Whether the frame at `bytes` is there to its end. A control frame with an extended length isn't a frame. */
static int
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
        length = big_endian(bytes + 2, extended);
    }
    frame->size = length > PY_SSIZE_T_MAX - frame->header ? PY_SSIZE_T_MAX : frame->header + length;
    return available >= frame->size;
}

static PyObject *
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

static int
append_frame(PyObject *frames, const Frame *frame, const unsigned char *bytes)
{
    PyObject *parts[] = {PyLong_FromLong(frame->head), read_payload(frame, bytes)};
    PyObject *pair = pack(parts, 2);
    if (pair == NULL) {
        return -1;
    }
    int status = PyList_Append(frames, pair);
    Py_DecRef(pair);
    return status;
}

static PyObject *
parse_all(const Argument *buffer, Py_ssize_t start, Py_ssize_t limit)
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
check_and_parse(const Argument *buffer, Py_ssize_t start, Py_ssize_t limit)
{
    if (start < 0 || start > buffer->length) {
        return PyErr_Format(PyExc_ValueError, "start must be between 0 and %zd", buffer->length);
    }
    if (limit < 1) {
        PyErr_SetString(PyExc_ValueError, "limit must be at least 1");
        return NULL;
    }
    return parse_all(buffer, start, limit);
}

PyObject *
parse_frames(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"buffer", "start", "limit"};
    Py_ssize_t start, limit;
    Argument buffer;
    if (count != 3) {
        return raise_wrong_count("parse_frames", count, names, 3, 3);
    }
    if (argument_as_size(&start, arguments[1], "start") < 0 || argument_as_size(&limit, arguments[2], "limit") < 0
        || argument_open(&buffer, arguments[0], "buffer") < 0) {
        return NULL;
    }
    PyObject *parsed = check_and_parse(&buffer, start, limit);
    argument_close(&buffer);
    return parsed;
}

static int
extended_size(uint64_t length)
{
    return length < 126 ? 0 : length <= 0xffff ? 2 : 8;
}

/* Write the header without the mask, and return where it ends. */
static unsigned char *
write_header(unsigned char *to, unsigned char head, uint64_t length, unsigned char mask_bit)
{
    int extended = extended_size(length);
    *to++ = head;
    *to++ = (unsigned char)(extended == 0 ? length : extended == 2 ? 126 : 127) | mask_bit;
    for (int shift = 8 * extended; shift > 0; shift -= 8) {
        *to++ = (unsigned char)(length >> (shift - 8));
    }
    return to;
}

/* A frame to be built: what it is made of, and its size in bytes. */
typedef struct {
    unsigned char head;
    Argument payload;
    Argument mask;
    Py_ssize_t size;
} Parts;

static int
measure_parts(Parts *parts)
{
    Py_ssize_t header = 2 + extended_size((uint64_t)parts->payload.length) + parts->mask.length;
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
open_mask(Argument *mask, PyObject *object)
{
    if (object == Py_None) {
        mask->length = 0;
        mask->buffer.obj = NULL;
        return 0;
    }
    if (argument_open(mask, object, "mask") < 0) {
        return -1;
    }
    if (argument_check_mask(mask) < 0) {
        argument_close(mask);
        return -1;
    }
    return 0;
}

static void
close_parts(Parts *parts)
{
    argument_close(&parts->mask);
    argument_close(&parts->payload);
}

static int
open_payload_and_mask(Parts *parts, Py_ssize_t head, PyObject *payload, PyObject *mask)
{
    if (argument_open(&parts->payload, payload, "payload") < 0) {
        return -1;
    }
    if (head < 0 || head > 0xff) {
        PyErr_SetString(PyExc_ValueError, "head must be between 0 and 255");
    } else if (open_mask(&parts->mask, mask) == 0) {
        if (measure_parts(parts) == 0) {
            return 0;
        }
        argument_close(&parts->mask);
    }
    argument_close(&parts->payload);
    return -1;
}

/* From the arguments head, payload and mask. Returns 0, or -1 with an exception: then there is nothing to close. */
static int
open_parts(Parts *parts, PyObject *const *arguments)
{
    Py_ssize_t head;
    if (argument_as_size(&head, arguments[0], "head") < 0) {
        return -1;
    }
    parts->head = (unsigned char)head;
    return open_payload_and_mask(parts, head, arguments[1], arguments[2]);
}

PyObject *
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
    PyObject *frame = PyBytes_FromStringAndSize(NULL, parts.size);
    if (frame != NULL) {
        write_parts((unsigned char *)PyBytes_AsString(frame), &parts);
    }
    close_parts(&parts);
    return frame;
}

static PyObject *
write_to_buffer(PyObject *object, const Parts *parts)
{
    Py_buffer view;
    if (argument_open_writable(&view, object, "buffer") < 0) {
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

PyObject *
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
