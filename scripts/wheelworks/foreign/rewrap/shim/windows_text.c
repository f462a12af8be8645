/* UTF-16 (Windows' wchar_t is one unit of it) to and from UTF-8 (narrow texts are in it here: code page 65001).
   Source: RFC 3629 (UTF-8), RFC 2781 (UTF-16). */

#include "windows.h"

enum { REPLACEMENT = 0xFFFD };

size_t
wide_length(const WCHAR *text)
{
    size_t length = 0;
    while (text[length]) {
        length++;
    }
    return length;
}

static void
mark(int *flag)
{
    if (flag != NULL) {
        *flag = 1;
    }
}

/* Read one character of UTF-16 and advance; an unpaired surrogate is U+FFFD. */
static u32
read_utf16(const WCHAR **text, const WCHAR *end, int *invalid)
{
    u32 unit = *(*text)++;
    if (unit < 0xD800 || unit > 0xDFFF) {
        return unit;
    }
    if (unit < 0xDC00 && *text < end && (**text & 0xFC00) == 0xDC00) {
        return 0x10000 + ((unit & 0x3FF) << 10) + (*(*text)++ & 0x3FF);
    }
    mark(invalid);
    return REPLACEMENT;
}

static size_t
encode_utf8(u32 code, char *to)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    size_t count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = count - 1; i > 0; i--) {
        to[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    to[0] = (char)((0xF00 >> count & 0xFF) | code);
    return count;
}

size_t
to_utf8(const WCHAR *text, size_t count, char *to, size_t size, int *invalid)
{
    const WCHAR *end = text + (count == (size_t)-1 ? wide_length(text) + 1 : count);
    size_t needed = 0;
    while (text < end) {
        char bytes[4];
        size_t length = encode_utf8(read_utf16(&text, end, invalid), bytes);
        if (needed + length <= size) {
            memcpy(to + needed, bytes, length);
        } else {
            size = 0; /* nothing follows what didn't fit */
        }
        needed += length;
    }
    return needed;
}

/* Read one character of UTF-8 and advance; each byte that can't start or continue one is U+FFFD. */
static u32
read_utf8(const u8 **text, const u8 *end, int *invalid)
{
    u32 code = *(*text)++;
    int more = code < 0x80                   ? 0
               : code >= 0xC2 && code < 0xE0 ? 1
               : code >= 0xE0 && code < 0xF0 ? 2
               : code >= 0xF0 && code < 0xF5 ? 3
                                             : -1;
    if (more == 0) {
        return code;
    }
    const u8 *at = *text;
    u32 value = code & (0x3Fu >> (more < 0 ? 0 : more));
    for (int i = 0; i < more; i++) {
        if (at >= end || (*at & 0xC0) != 0x80) {
            more = -1;
            break;
        }
        value = value << 6 | (*at++ & 0x3F);
    }
    int too_long = (more == 2 && value < 0x800) || (more == 3 && (value < 0x10000 || value > 0x10FFFF));
    if (more < 0 || too_long || (value >= 0xD800 && value <= 0xDFFF)) {
        mark(invalid);
        return REPLACEMENT;
    }
    *text = at;
    return value;
}

size_t
to_utf16(const char *text, size_t count, WCHAR *to, size_t size, int *invalid)
{
    const u8 *at = (const u8 *)text, *end = at + (count == (size_t)-1 ? strlen(text) + 1 : count);
    size_t needed = 0;
    while (at < end) {
        u32 code = read_utf8(&at, end, invalid);
        size_t length = code < 0x10000 ? 1 : 2;
        if (needed + length > size) {
            size = 0;
        } else if (length == 1) {
            to[needed] = (WCHAR)code;
        } else {
            to[needed] = (WCHAR)(0xD800 + ((code - 0x10000) >> 10));
            to[needed + 1] = (WCHAR)(0xDC00 + (code & 0x3FF));
        }
        needed += length;
    }
    return needed;
}

char *
copy_utf8(const WCHAR *text)
{
    if (text == NULL) {
        return NULL;
    }
    size_t size = to_utf8(text, (size_t)-1, NULL, 0, NULL);
    char *copy = malloc(size);
    if (copy != NULL) {
        to_utf8(text, (size_t)-1, copy, size, NULL);
    }
    return copy;
}

WCHAR *
copy_utf16(const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    size_t size = to_utf16(text, (size_t)-1, NULL, 0, NULL);
    WCHAR *copy = malloc(size * sizeof(WCHAR));
    if (copy != NULL) {
        to_utf16(text, (size_t)-1, copy, size, NULL);
    }
    return copy;
}

/* A path that Python gave to the module is one of Linux. The module may have put Windows' separators into it. */
static char *
convert_path(char *path)
{
    if (path == NULL) {
        return NULL;
    }
    if (strncmp(path, "\\\\?\\", 4) == 0) {
        memmove(path, path + 4, strlen(path + 4) + 1);
    }
    for (char *at = path; *at; at++) {
        *at = *at == '\\' ? '/' : *at;
    }
    return path;
}

char *
copy_path(const WCHAR *path)
{
    return convert_path(copy_utf8(path));
}

char *
copy_narrow_path(const char *path)
{
    return path ? convert_path(strdup(path)) : NULL;
}

u32
copy_out(const char *text, WCHAR *to, u32 size)
{
    WCHAR *wide = copy_utf16(text);
    u32 length = wide ? (u32)wide_length(wide) : 0;
    BOOL fits = wide && length < size;
    if (fits) {
        memcpy(to, wide, (length + 1) * sizeof(WCHAR));
    }
    free(wide);
    return fits ? length : length + 1;
}

u32
copy_out_narrow(const char *text, char *to, u32 size)
{
    u32 length = (u32)strlen(text);
    if (length >= size) {
        return length + 1;
    }
    memcpy(to, text, length + 1);
    return length;
}
