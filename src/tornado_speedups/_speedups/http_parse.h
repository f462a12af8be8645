/* HTTP/1.x heads (RFC 9112), read: those that are plain.

   Plain is what nobody disputes: names that are tokens, values without control characters, lines that end in CRLF or
   LF. Of anything else these functions say nothing, and leave the verdict to Tornado. */

#ifndef TORNADO_SPEEDUPS_HTTP_PARSE_H
#define TORNADO_SPEEDUPS_HTTP_PARSE_H

#include "args.h"
#include "header_names.h"
#include "mask.h"

/* A longer name isn't plain. */
#define MAX_NAME 64

typedef struct {
    const unsigned char *at;
    const unsigned char *end;
    const HeaderNames *names;
} Input;

/* What has been read of a block: as the fields of HTTPHeaders want it, which see. */
typedef struct {
    PyObject *lists;
    PyObject *values;
    PyObject *last; /* name, or NULL */
    Py_ssize_t count; /* of lists; to ask the dict for each name would cost what not looking it up saves */
} Headers;

/* RFC 9110, section 5.6.2: the characters of a token, letters as small ones; 0 for any other. */
static const unsigned char token[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*', ['+'] = '+',
    ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|', ['~'] = '~', ['0'] = '0',
    ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8',
    ['9'] = '9', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g',
    ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o',
    ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w',
    ['x'] = 'x', ['y'] = 'y', ['z'] = 'z', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e',
    ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm',
    ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u',
    ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

static inline int
is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static inline int
is_blank(unsigned char c)
{
    return c == ' ' || c == '\t';
}

/* Whether one of 8 bytes may be a control character; tabs count too. */
static inline int
may_hold_control(const unsigned char *bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t word;
    COPY_CONSTANT_SIZE(&word, bytes, sizeof word);
    uint64_t deleted = word ^ (ones * 0x7f);
    uint64_t below = (word - ones * 0x20) & ~word;
    return (((deleted - ones) & ~deleted) | below) & (ones * 0x80) ? 1 : 0;
}

static int
has_high_bit(const unsigned char *from, const unsigned char *end)
{
    uint64_t all = 0;
    for (uint64_t word; end - from >= 8; from += 8) {
        COPY_CONSTANT_SIZE(&word, from, sizeof word);
        all |= word;
    }
    for (; from < end; from++) {
        all |= *from;
    }
    return (all & UINT64_C(0x8080808080808080)) != 0;
}

static PyObject *
decode(const unsigned char *from, const unsigned char *to)
{
    return PyUnicode_DecodeLatin1((const char *)from, to - from, NULL);
}

/* Where the value that begins here ends: at the first control character. */
static const unsigned char *
skip_value(const unsigned char *at, const unsigned char *end)
{
    for (;;) {
        while (end - at >= 8 && !may_hold_control(at)) {
            at += 8;
        }
        if (at == end || is_control(*at)) {
            return at;
        }
        at++;
    }
}

/* Move past the end of a line, CRLF or LF, or the end of the input. Returns whether there is one here. */
static int
skip_line_end(Input *input)
{
    if (input->end - input->at >= 2 && input->at[0] == '\r' && input->at[1] == '\n') {
        input->at += 2;
        return 1;
    }
    if (input->at < input->end && *input->at == '\n') {
        input->at++;
        return 1;
    }
    return input->at == input->end;
}

/* Read a name and the colon behind it. A new reference; NULL without an exception for one that isn't plain. */
static PyObject *
read_name(Input *input)
{
    unsigned char name[MAX_NAME];
    Py_ssize_t length = 0;
    uint32_t hash = 0;
    unsigned char before = '-';
    while (input->at < input->end && token[*input->at] && length < MAX_NAME) {
        unsigned char c = token[*input->at++];
        /* Http-Header-Case: each word's first letter is large, the others are small. */
        name[length] = before == '-' && c >= 'a' && c <= 'z' ? c - 0x20 : c;
        hash = hash_name(hash, name[length++]);
        before = c;
    }
    if (length == 0 || input->at == input->end || *input->at != ':') {
        return NULL;
    }
    input->at++;
    return get_name(input->names, name, length, hash);
}

/* A new reference to the value, up to the end of its line; NULL without an exception for one that isn't plain. */
static PyObject *
read_value(Input *input)
{
    while (input->at < input->end && is_blank(*input->at)) {
        input->at++;
    }
    const unsigned char *from = input->at;
    const unsigned char *to = skip_value(from, input->end);
    input->at = to;
    if (!skip_line_end(input)) {
        return NULL;
    }
    while (to > from && is_blank(to[-1])) {
        to--;
    }
    return decode(from, to);
}

static int
add_list(Headers *headers, PyObject *name, PyObject *value)
{
    PyObject *list = PyList_New(1);
    if (list == NULL) {
        return -1;
    }
    Py_IncRef(value);
    PyList_SetItem(list, 0, value);
    int status = PyDict_SetItem(headers->lists, name, list);
    Py_DecRef(list);
    headers->count++;
    return status;
}

static int
add_header(Headers *headers, PyObject *name, PyObject *value)
{
    if (PyDict_SetItem(headers->values, name, value) < 0) {
        return -1;
    }
    /* Most blocks have no name twice: one value more than lists tells, without a look-up for each name. */
    if (PyDict_Size(headers->values) > headers->count) {
        return add_list(headers, name, value);
    }
    PyObject *list = PyDict_GetItemWithError(headers->lists, name);
    if (list == NULL) {
        return PyErr_Occurred() ? -1 : add_list(headers, name, value);
    }
    return PyDict_DelItem(headers->values, name) < 0 ? -1 : PyList_Append(list, value);
}

/* Returns 1 for a header that has been added, 0 for one that isn't plain, -1 with an exception. */
static int
read_header(Input *input, Headers *headers)
{
    PyObject *name = read_name(input);
    PyObject *value = name != NULL ? read_value(input) : NULL;
    int status = value == NULL ? -1 : add_header(headers, name, value);
    Py_DecRef(value);
    Py_DecRef(headers->last);
    headers->last = name;
    return status == 0 ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* Returns 1 for a block that has been read, 0 for one that isn't plain, -1 with an exception. */
static int
read_block(Input *input, Headers *headers)
{
    while (input->at < input->end) {
        if (skip_line_end(input)) {
            continue;
        }
        int status = read_header(input, headers);
        if (status != 1) {
            return status;
        }
    }
    return 1;
}

/* A tuple of what has been read, behind the start line if there is one; takes the references. */
static PyObject *
pack_headers(PyObject *line, Headers *headers)
{
    PyObject *parts[] = {line, headers->lists, headers->values, headers->last == NULL ? new_none() : headers->last};
    return line == NULL ? pack(parts + 1, 3) : pack(parts, 4);
}

/* Read the block, and give back a tuple, None if it isn't plain, or NULL. Takes the reference to the start line. */
static PyObject *
parse_block(Input *input, PyObject *line)
{
    Headers headers = {PyDict_New(), PyDict_New(), NULL, 0};
    int status = headers.lists == NULL || headers.values == NULL ? -1 : read_block(input, &headers);
    if (status == 1) {
        return pack_headers(line, &headers);
    }
    Py_DecRef(line);
    Py_DecRef(headers.lists);
    Py_DecRef(headers.values);
    Py_DecRef(headers.last);
    return status < 0 ? NULL : new_none();
}

/* A new reference to the start line, behind what line ends there may be; NULL without an exception if there is none. */
static PyObject *
read_start_line(Input *input)
{
    while (input->at < input->end && (*input->at == '\r' || *input->at == '\n')) {
        input->at++;
    }
    const unsigned char *from = input->at;
    const unsigned char *to = from;
    while (to < input->end && *to != '\n') {
        to++;
    }
    if (to == input->end) {
        return NULL;
    }
    input->at = to + 1;
    while (to > from && to[-1] == '\r') {
        to--;
    }
    return decode(from, to);
}

static PyObject *
parse_with_start_line(Input *input)
{
    PyObject *line = read_start_line(input);
    if (line == NULL) {
        return PyErr_Occurred() ? NULL : new_none();
    }
    return parse_block(input, line);
}

/* Open an argument and call `parse`, unless it is a str whose UTF-8 isn't Latin-1 too. */
static PyObject *
parse_argument(PyObject *module, PyObject *object, const char *name, PyObject *(*parse)(Input *input))
{
    BytesArg argument;
    if (open_arg(&argument, object, name) < 0) {
        return NULL;
    }
    Input input = {argument.bytes, argument.bytes + argument.length, PyModule_GetState(module)};
    PyObject *parsed = PyUnicode_Check(object) && has_high_bit(input.at, input.end) ? new_none() : parse(&input);
    close_arg(&argument);
    return parsed;
}

static PyObject *
parse_without_start_line(Input *input)
{
    return parse_block(input, NULL);
}

static PyObject *
parse_headers(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"block"};
    if (count != 1) {
        return raise_wrong_count("parse_headers", count, names, 1, 1);
    }
    return parse_argument(module, arguments[0], "block", parse_without_start_line);
}

static PyObject *
parse_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"data"};
    if (count != 1) {
        return raise_wrong_count("parse_head", count, names, 1, 1);
    }
    return parse_argument(module, arguments[0], "data", parse_with_start_line);
}

static const unsigned char *
skip_token(const unsigned char *at, const unsigned char *end)
{
    while (at < end && token[*at]) {
        at++;
    }
    return at;
}

static const unsigned char *
skip_target(const unsigned char *at, const unsigned char *end)
{
    while (at < end && *at > ' ' && *at != 0x7f) {
        at++;
    }
    return at;
}

/* "HTTP/1." and a digit. */
#define VERSION_LENGTH 8

static int
is_version(const unsigned char *bytes)
{
    static const char expected[] = "HTTP/1.";
    for (int i = 0; i < VERSION_LENGTH - 1; i++) {
        if (bytes[i] != (unsigned char)expected[i]) {
            return 0;
        }
    }
    return bytes[VERSION_LENGTH - 1] >= '0' && bytes[VERSION_LENGTH - 1] <= '9';
}

/* The parts of "GET /path HTTP/1.1", or None. */
static PyObject *
parse_request_line(Input *input)
{
    const unsigned char *method = input->at;
    if (input->end - method < VERSION_LENGTH + 4) {
        return new_none();
    }
    const unsigned char *method_end = skip_token(method, input->end);
    const unsigned char *version = input->end - VERSION_LENGTH;
    const unsigned char *target_end = version - 1;
    if (method_end == method || target_end - method_end < 2 || *method_end != ' ') {
        return new_none();
    }
    if (skip_target(method_end + 1, target_end) != target_end || *target_end != ' ' || !is_version(version)) {
        return new_none();
    }
    PyObject *parts[] = {decode(method, method_end), decode(method_end + 1, target_end), decode(version, input->end)};
    return pack(parts, 3);
}

static PyObject *
parse_start_line(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    static const char *const names[] = {"line"};
    if (count != 1) {
        return raise_wrong_count("parse_start_line", count, names, 1, 1);
    }
    return parse_argument(module, arguments[0], "line", parse_request_line);
}

#endif
