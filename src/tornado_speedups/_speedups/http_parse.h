/* Parse HTTP/1.x heads (RFC 9112) that are plain: names are tokens, values have no control characters, lines end in
   CRLF or LF. For anything else these functions return None, and Tornado decides. */

#ifndef TORNADO_SPEEDUPS_HTTP_PARSE_H
#define TORNADO_SPEEDUPS_HTTP_PARSE_H

#include "args.h"
#include "header_names.h"
#include "mask.h"
#include "state.h"

/* Longer names aren't plain. */
#define MAX_NAME 64

typedef struct {
    const unsigned char *at;
    const unsigned char *end;
    const HeaderNames *names;
} Input;

/* The headers of a block, in the form that Tornado's HTTPHeaders has. */
typedef struct {
    PyObject *lists;
    PyObject *values;
    PyObject *last; /* name, or NULL */
    Py_ssize_t count; /* of lists; asking the dict for its size would cost what skipping look-ups saves */
} Headers;

/* RFC 9110, section 5.6.2: the characters of a token in lower case; 0 for any other. */
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

/* Return whether one of 8 bytes may be a control character, or a tab. */
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

/* Return where the value that begins here ends: at the first control character. */
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

/* Move past CRLF or LF. Returns whether there was one here, or the end of the input. */
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

/* Read a name and its colon. A new reference; NULL without an exception if the name isn't plain. */
static PyObject *
read_name(Input *input)
{
    unsigned char name[MAX_NAME];
    Py_ssize_t length = 0;
    uint32_t hash = 0;
    unsigned char before = '-';
    while (input->at < input->end && token[*input->at] && length < MAX_NAME) {
        unsigned char c = token[*input->at++];
        /* Http-Header-Case: the first letter of each word is a capital. */
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

/* Read a value and the end of its line. A new reference; NULL without an exception if it isn't plain. */
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
    /* Most blocks have no name twice. One value more than lists shows that, without looking up the name. */
    if (PyDict_Size(headers->values) > headers->count) {
        return add_list(headers, name, value);
    }
    PyObject *list = PyDict_GetItemWithError(headers->lists, name);
    if (list == NULL) {
        return PyErr_Occurred() ? -1 : add_list(headers, name, value);
    }
    return PyDict_DelItem(headers->values, name) < 0 ? -1 : PyList_Append(list, value);
}

/* Returns 1 if a header was added, 0 if it isn't plain, -1 with an exception. */
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

/* Returns 1 if the block was read, 0 if it isn't plain, -1 with an exception. */
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

/* Return a tuple of the start line, if there is one, and the headers. Takes the references. */
static PyObject *
pack_headers(PyObject *line, Headers *headers)
{
    PyObject *parts[] = {line, headers->lists, headers->values, headers->last == NULL ? new_none() : headers->last};
    return line == NULL ? pack(parts + 1, 3) : pack(parts, 4);
}

/* Return what a block holds, None if it isn't plain. Takes the reference to the start line. */
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

/* Skip line ends, and read the start line. A new reference; NULL without an exception if it is incomplete. */
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

/* Open the only argument and call `parse`, unless it is a str whose UTF-8 isn't Latin-1 too. */
static PyObject *
parse_argument(PyObject *module, PyObject *const *arguments, Py_ssize_t count, const char *function, const char *name,
               PyObject *(*parse)(Input *input))
{
    BytesArg argument;
    if (count != 1) {
        return raise_wrong_count(function, count, &name, 1, 1);
    }
    if (open_arg(&argument, arguments[0], name) < 0) {
        return NULL;
    }
    const State *state = PyModule_GetState(module);
    Input input = {argument.bytes, argument.bytes + argument.length, &state->headers};
    PyObject *parsed = PyUnicode_Check(arguments[0]) && has_high_bit(input.at, input.end) ? new_none() : parse(&input);
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
    return parse_argument(module, arguments, count, "parse_headers", "block", parse_without_start_line);
}

static PyObject *
parse_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    return parse_argument(module, arguments, count, "parse_head", "data", parse_with_start_line);
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

/* The length of "HTTP/1." and a digit. */
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

/* Return the three parts of "GET /path HTTP/1.1", or None. */
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
    return parse_argument(module, arguments, count, "parse_start_line", "line", parse_request_line);
}

#endif
