/* The printf and scanf families of Microsoft's C library: __stdio_common_v*, which all its functions end in.
   Source: corecrt_stdio_config.h (the options), corecrt_wstdio.h, stdio.h of the Universal CRT. */

#include <alloca.h>

#include "windows.h"

enum { LEGACY_TERMINATION = 1, STANDARD_SNPRINTF = 2, LEGACY_WIDE_SPECIFIERS = 4 };
#define TRUNCATE ((size_t)-1)

/* ---- to a stream ---- */

EXPORT(__stdio_common_vfprintf, int)(u64 options, FILE *stream, const char *format, void *locale, const u64 *slots)
{
    Text text = format_all(options, format, slots, 0);
    size_t written = fwrite(text.data, 1, text.length, stream);
    free(text.data);
    return written == text.length ? (int)written : -1;
}

EXPORT(__stdio_common_vfprintf_s, int)(u64 options, FILE *stream, const char *format, void *locale, const u64 *slots)
{
    return w___stdio_common_vfprintf(options, stream, format, locale, slots);
}

static Text
format_wide(u64 options, const WCHAR *format, const u64 *slots)
{
    char *narrow = copy_utf8(format);
    if (narrow == NULL) {
        fail_shim("no memory for a format");
    }
    Text text = format_all(options, narrow, slots, (options & LEGACY_WIDE_SPECIFIERS) != 0);
    free(narrow);
    return text;
}

EXPORT(__stdio_common_vfwprintf, int)(u64 options, FILE *stream, const WCHAR *format, void *locale, const u64 *slots)
{
    Text text = format_wide(options, format, slots);
    int units = (int)to_utf16(text.data, text.length, NULL, 0, NULL);
    size_t written = fwrite(text.data, 1, text.length, stream);
    int all = written == text.length;
    free(text.data);
    return all ? units : -1;
}

/* ---- to a buffer ---- */

EXPORT(__stdio_common_vsprintf, int)
(u64 options, char *buffer, size_t size, const char *format, void *locale, const u64 *slots)
{
    Text text = format_all(options, format, slots, 0);
    size_t length = text.length, copied = length < size ? length : size;
    if (buffer != NULL) {
        memcpy(buffer, text.data, copied);
        if (length < size) {
            buffer[length] = 0;
        } else if (size > 0 && !(options & LEGACY_TERMINATION)) { /* _vsnprintf leaves a full buffer without a zero */
            buffer[size - 1] = 0;
        }
    }
    free(text.data);
    int fits = options & LEGACY_TERMINATION ? length <= size : length < size;
    return fits || options & STANDARD_SNPRINTF || (buffer == NULL && size == 0) ? (int)length : -1;
}

/* The functions whose name ends in _s call the invalid parameter handler where a text doesn't fit, which ends the
   process unless the program has set its own. */
static void
refuse_overflow(const char *function)
{
    end_unsupported(STATUS_SHIM_FAILED, "%s: the text doesn't fit (Windows' invalid parameter handler)", function);
}

EXPORT(__stdio_common_vsprintf_s, int)
(u64 options, char *buffer, size_t size, const char *format, void *locale, const u64 *slots)
{
    Text text = format_all(options, format, slots, 0);
    if (text.length >= size) {
        refuse_overflow("sprintf_s");
    }
    memcpy(buffer, text.data, text.length + 1);
    free(text.data);
    return (int)text.length;
}

EXPORT(__stdio_common_vsnprintf_s, int)
(u64 options, char *buffer, size_t size, size_t limit, const char *format, void *locale, const u64 *slots)
{
    if (buffer == NULL && size == 0 && limit == 0) {
        return 0;
    }
    Text text = format_all(options, format, slots, 0);
    size_t length = text.length < limit ? text.length : limit;
    if (length >= size) {
        if (limit != TRUNCATE) {
            refuse_overflow("_snprintf_s");
        }
        length = size - 1;
    }
    memcpy(buffer, text.data, length);
    buffer[length] = 0;
    free(text.data);
    return length == text.length ? (int)length : -1;
}

EXPORT(__stdio_common_vswprintf, int)
(u64 options, WCHAR *buffer, size_t size, const WCHAR *format, void *locale, const u64 *slots)
{
    Text text = format_wide(options, format, slots);
    size_t length = to_utf16(text.data, text.length, buffer, buffer ? size : 0, NULL);
    free(text.data);
    if (buffer != NULL && size > 0) {
        buffer[length < size ? length : size - 1] = 0;
    }
    return length < size || options & STANDARD_SNPRINTF || (buffer == NULL && size == 0) ? (int)length : -1;
}

EXPORT(__stdio_common_vswprintf_s, int)
(u64 options, WCHAR *buffer, size_t size, const WCHAR *format, void *locale, const u64 *slots)
{
    int length = w___stdio_common_vswprintf(options & ~(u64)STANDARD_SNPRINTF, buffer, size, format, locale, slots);
    if (length < 0) {
        refuse_overflow("swprintf_s");
    }
    return length;
}

EXPORT(__stdio_common_vsnwprintf_s, int)
(u64 options, WCHAR *buffer, size_t size, size_t limit, const WCHAR *format, void *locale, const u64 *slots)
{
    size_t room = limit < size ? limit + 1 : size;
    int length = w___stdio_common_vswprintf(options & ~(u64)STANDARD_SNPRINTF, buffer, room, format, locale, slots);
    if (length < 0 && limit != TRUNCATE && limit >= size) {
        refuse_overflow("_snwprintf_s");
    }
    return length;
}

/* ---- scanf: pointers to what is read take one slot each, as in glibc ---- */

/* Copy a set such as [^]a-z but for its last bracket: one that comes first belongs to the set. */
static char *
copy_set(const char **format, char *to)
{
    *to++ = *(*format)++;
    if (**format == '^') {
        *to++ = *(*format)++;
    }
    if (**format == ']') {
        *to++ = *(*format)++;
    }
    while (**format && **format != ']') {
        *to++ = *(*format)++;
    }
    return to;
}

static const char *
convert_scanf_format(const char *format, char *to)
{
    char *start = to;
    while (*format) {
        if ((*to++ = *format++) != '%') {
            continue;
        }
        while (*format && strchr("*0123456789", *format)) {
            *to++ = *format++;
        }
        if (strncmp(format, "I64", 3) == 0) {
            format += 3;
            to = stpcpy(to, "ll");
        } else if (strncmp(format, "I32", 3) == 0) {
            format += 3;
        } else if (format[0] == 'l' && format[1] && strchr("diouxX", format[1])) {
            format++;
        } else if (format[0] == 'L' || (format[0] == 'l' && format[1] && strchr("aefgAEFG", format[1]))) {
            format++;
            *to++ = 'l'; /* a long double is a double */
        } else if ((*format && strchr("SCw", *format)) || (format[0] == 'l' && format[1] && strchr("sc[", format[1]))) {
            fail_shim("scanf of wide texts");
        } else if (format[0] == '[') {
            to = copy_set(&format, to);
        }
        if (*format) {
            *to++ = *format++;
        }
    }
    *to = 0;
    return start;
}

static void
check_scanf(u64 options)
{
    if (options & 1) {
        fail_shim("sscanf_s");
    }
}

#define CONVERTED(format) convert_scanf_format(format, (char *)alloca(strlen(format) + 1))

EXPORT(__stdio_common_vsscanf, int)
(u64 options, const char *buffer, size_t size, const char *format, void *locale, u64 *slots)
{
    check_scanf(options);
    MAKE_LIST(list, slots);
    char *copy = strndup(buffer, size);
    if (copy == NULL) {
        return -1;
    }
    int result = vsscanf(copy, CONVERTED(format), list);
    free(copy);
    return result;
}

EXPORT(__stdio_common_vfscanf, int)(u64 options, FILE *stream, const char *format, void *locale, u64 *slots)
{
    check_scanf(options);
    MAKE_LIST(list, slots);
    return vfscanf(stream, CONVERTED(format), list);
}
