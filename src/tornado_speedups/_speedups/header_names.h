/* The names of common HTTP headers as Python strings. They are made when a module is executed, and only read
   afterwards. They belong to the module, so that each interpreter has its own. */

#ifndef TORNADO_SPEEDUPS_HEADER_NAMES_H
#define TORNADO_SPEEDUPS_HEADER_NAMES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define NAME_SLOTS 256

/* A hash table with open addressing. Empty slots are NULL. */
typedef struct {
    PyObject *objects[NAME_SLOTS];
    const char *bytes[NAME_SLOTS];
} HeaderNames;

/* Add a byte to the hash of a name, which begins with 0. */
static inline uint32_t
hash_name(uint32_t hash, unsigned char c)
{
    return hash * 33 + c;
}

#define MAX_COMMON_NAME 32

static const char common_names[][MAX_COMMON_NAME] = {
    "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods", "Access-Control-Allow-Origin", "Access-Control-Request-Headers",
    "Access-Control-Request-Method", "Age", "Allow", "Alt-Svc", "Authorization", "Cache-Control", "Connection",
    "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Location",
    "Content-Range", "Content-Security-Policy", "Content-Type", "Cookie", "Date", "Dnt", "Etag", "Expect", "Expires",
    "Forwarded", "From", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
    "Keep-Alive", "Last-Modified", "Link", "Location", "Origin", "Pragma", "Priority", "Proxy-Connection", "Range",
    "Referer", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode",
    "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Gpc", "Sec-Websocket-Accept", "Sec-Websocket-Extensions",
    "Sec-Websocket-Key", "Sec-Websocket-Protocol", "Sec-Websocket-Version", "Server", "Set-Cookie",
    "Strict-Transport-Security", "Te", "Traceparent", "Transfer-Encoding", "Upgrade", "Upgrade-Insecure-Requests",
    "User-Agent", "Vary", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip",
    "X-Request-Id", "X-Requested-With", "X-Scheme", "X-Xsrftoken",
};

/* Return the slot of a name, or the empty one where it would go. */
static uint32_t
find_slot(const HeaderNames *names, const unsigned char *name, Py_ssize_t length, uint32_t hash)
{
    uint32_t slot = hash % NAME_SLOTS;
    while (names->objects[slot] != NULL) {
        const char *bytes = names->bytes[slot];
        Py_ssize_t i = 0;
        while (i < length && (unsigned char)bytes[i] == name[i]) {
            i++;
        }
        if (i == length && bytes[i] == '\0') {
            break;
        }
        slot = (slot + 1) % NAME_SLOTS;
    }
    return slot;
}

static int
add_name(HeaderNames *names, const char *name)
{
    uint32_t hash = 0;
    Py_ssize_t length = 0;
    for (; name[length] != '\0'; length++) {
        hash = hash_name(hash, (unsigned char)name[length]);
    }
    PyObject *object = PyUnicode_InternFromString(name);
    if (object == NULL) {
        return -1;
    }
    uint32_t slot = find_slot(names, (const unsigned char *)name, length, hash);
    names->objects[slot] = object;
    names->bytes[slot] = name;
    return 0;
}

/* Returns 0, or -1 with an exception. */
static int
init_names(HeaderNames *names)
{
    for (size_t i = 0; i < sizeof common_names / sizeof *common_names; i++) {
        if (add_name(names, common_names[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static void
clear_names(HeaderNames *names)
{
    for (int i = 0; i < NAME_SLOTS; i++) {
        PyObject *object = names->objects[i];
        names->objects[i] = NULL;
        Py_DecRef(object);
    }
}

/* Return a new reference to the string of a name in Http-Header-Case; NULL with an exception. */
static PyObject *
get_name(const HeaderNames *names, const unsigned char *name, Py_ssize_t length, uint32_t hash)
{
    PyObject *object = names->objects[find_slot(names, name, length, hash)];
    if (object == NULL) {
        return PyUnicode_DecodeLatin1((const char *)name, length, NULL);
    }
    Py_IncRef(object);
    return object;
}

#endif
