/* Texts in Microsoft's C library: Microsoft's own functions, those whose name ends in _s, and all of wide characters.
   Source: string.h, wchar.h, corecrt_wstring.h; learn.microsoft.com/cpp/c-runtime-library/string-manipulation-crt */

#include <ctype.h>
#include <wchar.h>
#include <wctype.h>

#include "windows.h"

#define TRUNCATE ((size_t)-1)
enum { STRUNCATE = 80 };

/* ---- narrow ---- */

EXPORT(_strdup, char *)(const char *text) { return text ? strdup(text) : NULL; }
EXPORT(_stricmp, int)(const char *a, const char *b) { return strcasecmp(a, b); }
EXPORT(_strcmpi, int)(const char *a, const char *b) { return strcasecmp(a, b); }
EXPORT(_strnicmp, int)(const char *a, const char *b, size_t count) { return strncasecmp(a, b, count); }
EXPORT(_memicmp, int)(const u8 *a, const u8 *b, size_t count)
{
    for (; count > 0; a++, b++, count--) {
        if (tolower(*a) != tolower(*b)) {
            return tolower(*a) - tolower(*b);
        }
    }
    return 0;
}
EXPORT(_memccpy, void *)(void *to, const void *from, int c, size_t count) { return memccpy(to, from, c, count); }
EXPORT(__strncnt, size_t)(const char *text, size_t count) { return strnlen(text, count); }
EXPORT(strtok_s, char *)(char *text, const char *separators, char **state) { return strtok_r(text, separators, state); }
EXPORT(__isascii, int)(int c) { return (u32)c < 128; }
EXPORT(_tolower, int)(int c) { return c - 'A' + 'a'; }
EXPORT(_toupper, int)(int c) { return c - 'a' + 'A'; }

EXPORT(_strlwr, char *)(char *text)
{
    for (char *at = text; *at; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at;
    }
    return text;
}

EXPORT(_strupr, char *)(char *text)
{
    for (char *at = text; *at; at++) {
        *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 32) : *at;
    }
    return text;
}

EXPORT(_strrev, char *)(char *text)
{
    for (size_t i = 0, j = strlen(text); i + 1 < j; i++) {
        char kept = text[i];
        text[i] = text[--j];
        text[j] = kept;
    }
    return text;
}

EXPORT(_strtoi64, int64_t)(const char *text, char **end, int base) { return strtoll(text, end, base); }
EXPORT(_strtoui64, u64)(const char *text, char **end, int base) { return strtoull(text, end, base); }
EXPORT(_atoi64, int64_t)(const char *text) { return strtoll(text, NULL, 10); }

/* The C locale, which a locale of NULL isn't quite: Python leaves LC_NUMERIC at "C". */
EXPORT(_strtod_l, double)(const char *text, char **end, void *locale) { return strtod(text, end); }
EXPORT(_strtof_l, float)(const char *text, char **end, void *locale) { return strtof(text, end); }

/* ---- with a size: a text that doesn't fit leaves an empty one, an error without a handler ends the process ---- */

extern void w__invalid_parameter_noinfo(void);

static int
refuse(void *to, size_t unit, int error)
{
    if (to != NULL) {
        memset(to, 0, unit);
    }
    w__invalid_parameter_noinfo();
    return error;
}

/* One body for narrow and wide texts: append at most `limit` units of `from` behind the first `used` ones of `to`. */
#define APPEND_CHECKED(type, length_of)                                      \
    if (to == NULL || size == 0 || from == NULL) {                           \
        return refuse(size ? to : NULL, sizeof(type), EINVAL);               \
    }                                                                        \
    size_t length = length_of(from, limit == TRUNCATE ? (size_t)-1 : limit); \
    if (used >= size) {                                                      \
        return refuse(to, sizeof(type), EINVAL);                             \
    }                                                                        \
    if (length >= size - used && limit != TRUNCATE) {                        \
        return refuse(to, sizeof(type), ERANGE);                             \
    }                                                                        \
    int truncated = length >= size - used;                                   \
    length = truncated ? size - used - 1 : length;                           \
    memcpy(to + used, from, length * sizeof(type));                          \
    to[used + length] = 0;                                                   \
    return truncated ? STRUNCATE : 0

static size_t
limited_wide_length(const WCHAR *text, size_t limit)
{
    size_t length = 0;
    while (length < limit && text[length]) {
        length++;
    }
    return length;
}

static int
append_narrow(char *to, size_t size, size_t used, const char *from, size_t limit)
{
    APPEND_CHECKED(char, strnlen);
}

static int
append_wide(WCHAR *to, size_t size, size_t used, const WCHAR *from, size_t limit)
{
    APPEND_CHECKED(WCHAR, limited_wide_length);
}

#define NO_LIMIT ((size_t)-2)
EXPORT(strcpy_s, int)(char *to, size_t size, const char *from) { return append_narrow(to, size, 0, from, NO_LIMIT); }
EXPORT(strncpy_s, int)(char *to, size_t size, const char *from, size_t limit)
{
    return append_narrow(to, size, 0, from, limit);
}
EXPORT(strcat_s, int)(char *to, size_t size, const char *from)
{
    return append_narrow(to, size, to ? strnlen(to, size) : 0, from, NO_LIMIT);
}
EXPORT(strncat_s, int)(char *to, size_t size, const char *from, size_t limit)
{
    return append_narrow(to, size, to ? strnlen(to, size) : 0, from, limit);
}
EXPORT(wcscpy_s, int)(WCHAR *to, size_t size, const WCHAR *from) { return append_wide(to, size, 0, from, NO_LIMIT); }
EXPORT(wcsncpy_s, int)(WCHAR *to, size_t size, const WCHAR *from, size_t limit)
{
    return append_wide(to, size, 0, from, limit);
}
EXPORT(wcscat_s, int)(WCHAR *to, size_t size, const WCHAR *from)
{
    return append_wide(to, size, to ? limited_wide_length(to, size) : 0, from, NO_LIMIT);
}
EXPORT(wcsncat_s, int)(WCHAR *to, size_t size, const WCHAR *from, size_t limit)
{
    return append_wide(to, size, to ? limited_wide_length(to, size) : 0, from, limit);
}

EXPORT(memcpy_s, int)(void *to, size_t size, const void *from, size_t count)
{
    if (count == 0) {
        return 0;
    }
    if (to == NULL || from == NULL || size < count) {
        memset(to, 0, to ? size : 0);
        w__invalid_parameter_noinfo();
        return to == NULL || from == NULL ? EINVAL : ERANGE;
    }
    memcpy(to, from, count);
    return 0;
}

EXPORT(memmove_s, int)(void *to, size_t size, const void *from, size_t count)
{
    if (count > 0 && (to == NULL || from == NULL || size < count)) {
        w__invalid_parameter_noinfo();
        return to == NULL || from == NULL ? EINVAL : ERANGE;
    }
    memmove(to, from, count);
    return 0;
}

/* ---- wide ---- */

EXPORT(wcslen, size_t)(const WCHAR *text) { return wide_length(text); }
EXPORT(wcsnlen, size_t)(const WCHAR *text, size_t limit) { return limited_wide_length(text, limit); }
EXPORT(lstrlenW, int)(const WCHAR *text) { return text ? (int)wide_length(text) : 0; }
EXPORT(lstrlenA, int)(const char *text) { return text ? (int)strlen(text) : 0; }

EXPORT(wcsncmp, int)(const WCHAR *a, const WCHAR *b, size_t count)
{
    for (; count > 0; a++, b++, count--) {
        if (*a != *b || *a == 0) {
            return *a < *b ? -1 : *a > *b;
        }
    }
    return 0;
}

EXPORT(wcscmp, int)(const WCHAR *a, const WCHAR *b) { return w_wcsncmp(a, b, (size_t)-1); }

static u32
fold(WCHAR unit)
{
    return unit < 128 ? (u32)tolower(unit) : towlower(unit);
}

EXPORT(_wcsnicmp, int)(const WCHAR *a, const WCHAR *b, size_t count)
{
    for (; count > 0; a++, b++, count--) {
        if (fold(*a) != fold(*b) || *a == 0) {
            return (int)fold(*a) - (int)fold(*b);
        }
    }
    return 0;
}

EXPORT(_wcsicmp, int)(const WCHAR *a, const WCHAR *b) { return w__wcsnicmp(a, b, (size_t)-1); }

EXPORT(wmemchr, WCHAR *)(const WCHAR *text, WCHAR unit, size_t count)
{
    for (; count > 0; text++, count--) {
        if (*text == unit) {
            return (WCHAR *)text;
        }
    }
    return NULL;
}

EXPORT(wcschr, WCHAR *)(const WCHAR *text, WCHAR unit) { return w_wmemchr(text, unit, wide_length(text) + 1); }

EXPORT(wcsrchr, WCHAR *)(const WCHAR *text, WCHAR unit)
{
    for (size_t i = wide_length(text) + 1; i > 0; i--) {
        if (text[i - 1] == unit) {
            return (WCHAR *)text + i - 1;
        }
    }
    return NULL;
}

EXPORT(wcsstr, WCHAR *)(const WCHAR *text, const WCHAR *wanted)
{
    size_t length = wide_length(wanted);
    for (; w_wcsncmp(text, wanted, length) != 0; text++) {
        if (*text == 0) {
            return NULL;
        }
    }
    return (WCHAR *)text;
}

EXPORT(wcscpy, WCHAR *)(WCHAR *to, const WCHAR *from)
{
    return memmove(to, from, (wide_length(from) + 1) * sizeof(WCHAR));
}

EXPORT(wcsncpy, WCHAR *)(WCHAR *to, const WCHAR *from, size_t count)
{
    size_t length = limited_wide_length(from, count);
    memcpy(to, from, length * sizeof(WCHAR));
    memset(to + length, 0, (count - length) * sizeof(WCHAR));
    return to;
}

EXPORT(wcscat, WCHAR *)(WCHAR *to, const WCHAR *from)
{
    w_wcscpy(to + wide_length(to), from);
    return to;
}

EXPORT(_wcsdup, WCHAR *)(const WCHAR *text)
{
    size_t size = text ? (wide_length(text) + 1) * sizeof(WCHAR) : 0;
    WCHAR *copy = text ? malloc(size) : NULL;
    return copy ? memcpy(copy, text, size) : NULL;
}

/* Classes: a unit that is half of a pair belongs to none. */
#define CLASSES(X)                                                                                              \
    X(iswalnum) X(iswalpha) X(iswcntrl) X(iswdigit) X(iswgraph) X(iswlower) X(iswprint) X(iswpunct) X(iswspace) \
    X(iswupper) X(iswxdigit)
#define WIDE_CLASS(name) \
    EXPORT(name, int)(WCHAR unit) { return name(unit); }
CLASSES(WIDE_CLASS)

EXPORT(towlower, WCHAR)(WCHAR unit) { return (WCHAR)towlower(unit); }
EXPORT(towupper, WCHAR)(WCHAR unit) { return (WCHAR)towupper(unit); }

/* ---- numbers in wide texts ---- */

#define PARSE_WIDE(call, none)                                                           \
    char *narrow = copy_utf8(text), *stop;                                               \
    if (narrow == NULL) {                                                                \
        errno = ENOMEM;                                                                  \
        return none;                                                                     \
    }                                                                                    \
    __typeof__(call) value = call;                                                       \
    if (end != NULL) { /* what was read is ASCII, but for white space: count units */    \
        *end = (WCHAR *)text + to_utf16(narrow, (size_t)(stop - narrow), NULL, 0, NULL); \
    }                                                                                    \
    free(narrow);                                                                        \
    return value

extern int w_strtol(const char *, char **, int);
extern u32 w_strtoul(const char *, char **, int);

EXPORT(wcstol, int)(const WCHAR *text, WCHAR **end, int base) { PARSE_WIDE(w_strtol(narrow, &stop, base), 0); }
EXPORT(wcstoul, u32)(const WCHAR *text, WCHAR **end, int base) { PARSE_WIDE(w_strtoul(narrow, &stop, base), 0); }
EXPORT(wcstoll, long long)(const WCHAR *text, WCHAR **end, int base) { PARSE_WIDE(strtoll(narrow, &stop, base), 0); }
EXPORT(wcstod, double)(const WCHAR *text, WCHAR **end) { PARSE_WIDE(strtod(narrow, &stop), 0); }
EXPORT(_wtoi, int)(const WCHAR *text) { return w_wcstol(text, NULL, 10); }

/* ---- sorting with a context: the comparison gets it first, glibc's gets it last ---- */

typedef struct {
    int (*compare)(void *, const void *, const void *);
    void *context;
} Comparison;

static int
compare_with_context(const void *a, const void *b, void *comparison)
{
    const Comparison *one = comparison;
    return one->compare(one->context, a, b);
}

EXPORT(qsort_s, void)
(void *base, size_t count, size_t size, int (*compare)(void *, const void *, const void *), void *context)
{
    qsort_r(base, count, size, compare_with_context, &(Comparison){compare, context});
}

EXPORT(bsearch_s, void *)
(const void *key, const void *base, size_t count, size_t size, int (*compare)(void *, const void *, const void *),
 void *context)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *element = (const char *)base + middle * size;
        int order = compare(context, key, element);
        if (order == 0) {
            return (void *)element;
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return NULL;
}
