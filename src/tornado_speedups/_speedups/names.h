/* The names of common HTTP headers as Python strings: made once, when a module is executed, and only read then.

   They belong to the module, so that each interpreter has its own. */

#ifndef TORNADO_SPEEDUPS_NAMES_H
#define TORNADO_SPEEDUPS_NAMES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

#define NAMES_SLOTS 256

/* A hash table with open addressing; the slots that are empty are NULL. */
typedef struct {
    PyObject *objects[NAMES_SLOTS];
    const char *bytes[NAMES_SLOTS];
} HeaderNames;

/* Returns 0, or -1 with an exception. */
int names_init(HeaderNames *names);

void names_clear(HeaderNames *names);

/* The hash of a name is 0, to which each byte in turn is added. */
static inline uint32_t
names_hash(uint32_t hash, unsigned char c)
{
    return hash * 33 + c;
}

/* A new reference to a name in Http-Header-Case, of which the hash is known; NULL with an exception. */
PyObject *names_get(const HeaderNames *names, const unsigned char *name, Py_ssize_t length, uint32_t hash);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
