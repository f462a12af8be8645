/* printf and scanf: variadic on ARM64, and with a va_list.

   Apple's `long double` has 64 bits on ARM64: "%Lf" becomes "%f" (and "%lf" for scanf). Everything else in a format is
   the same. On x86-64, Linux's own functions are called, except the ones with a locale, which Linux doesn't have.
   Sources: Apple's <stdio.h>, <xlocale/_stdio.h>, <secure/_stdio.h>. */

#include <ctype.h>
#include <locale.h>
#include <wchar.h>

#include "macos.h"
#include "variadic.h"

#if defined(__aarch64__)

#define LONGEST_OUTPUT_FORMAT 4096

/* Copy a format with `twin` in place of the length L of floating-point conversions. */
static const char *
shorten_floats(const char *format, char *buffer, const char *twin)
{
    const char *from = format;
    char *to = buffer;
    if (strchr(format, 'L') == NULL) {
        return format;
    }
    while (*from != 0) {
        if (to > buffer + LONGEST_OUTPUT_FORMAT - 4) {
            fail_shim("a format of printf or scanf is too long");
        }
        if (*from != '%') {
            *to++ = *from++;
            continue;
        }
        *to++ = *from++;
        while (*from != 0 && strchr("-+ #0123456789.*'$", *from) != NULL) {
            *to++ = *from++;
            if (to > buffer + LONGEST_OUTPUT_FORMAT - 4) {
                fail_shim("a format of printf or scanf is too long");
            }
        }
        if (*from == 'L' && strchr("aAeEfFgG", from[1]) != NULL) {
            from++;
            to = stpcpy(to, twin);
        }
        if (*from != 0) {
            *to++ = *from++;
        }
    }
    *to = 0;
    return buffer;
}
#define OUTPUT(format) shorten_floats(format, (char[LONGEST_OUTPUT_FORMAT]){0}, "")
#define INPUT(format) shorten_floats(format, (char[LONGEST_OUTPUT_FORMAT]){0}, "l")

/* ---- with a va_list ---- */

EXPORT(vfprintf, int)(FILE *file, const char *format, AppleList given)
{
    USE_LIST(list, given);
    return vfprintf(file, OUTPUT(format), list);
}

EXPORT(vprintf, int)(const char *format, AppleList given) { return m_vfprintf(stdout, format, given); }

EXPORT(vdprintf, int)(int file, const char *format, AppleList given)
{
    USE_LIST(list, given);
    return vdprintf(file, OUTPUT(format), list);
}

EXPORT(vsnprintf, int)(char *buffer, size_t size, const char *format, AppleList given)
{
    USE_LIST(list, given);
    return vsnprintf(buffer, size, OUTPUT(format), list);
}

EXPORT(vsprintf, int)(char *buffer, const char *format, AppleList given)
{
    USE_LIST(list, given);
    return vsprintf(buffer, OUTPUT(format), list);
}

EXPORT(vasprintf, int)(char **buffer, const char *format, AppleList given)
{
    USE_LIST(list, given);
    return vasprintf(buffer, OUTPUT(format), list);
}

EXPORT(vsscanf, int)(const char *text, const char *format, AppleList given)
{
    USE_LIST(list, given);
    return vsscanf(text, INPUT(format), list);
}

EXPORT(vfscanf, int)(FILE *file, const char *format, AppleList given)
{
    USE_LIST(list, given);
    return vfscanf(file, INPUT(format), list);
}

/* The checked ones: `room` is the size of the buffer that the compiler knows. */
EXPORT(__vsnprintf_chk, int)(char *buffer, size_t size, int flags, size_t room, const char *format, AppleList given)
{
    check_room(size, room);
    return m_vsnprintf(buffer, size, format, given);
}

EXPORT(__vsprintf_chk, int)(char *buffer, int flags, size_t room, const char *format, AppleList given)
{
    int length = m_vsnprintf(buffer, room, format, given);
    check_room(length < 0 ? 0 : length + 1, room);
    return length;
}

/* ---- variadic ---- */

VARIADIC(printf) { return m_vfprintf(stdout, POINTER(0), REST(1)); }

VARIADIC(fprintf) { return m_vfprintf(POINTER(0), POINTER(1), REST(2)); }

VARIADIC(dprintf) { return m_vdprintf(registers[0], POINTER(1), REST(2)); }

VARIADIC(sprintf) { return m_vsprintf(POINTER(0), POINTER(1), REST(2)); }

VARIADIC(snprintf) { return m_vsnprintf(POINTER(0), registers[1], POINTER(2), REST(3)); }

VARIADIC(asprintf) { return m_vasprintf(POINTER(0), POINTER(1), REST(2)); }

VARIADIC(sscanf) { return m_vsscanf(POINTER(0), POINTER(1), REST(2)); }

VARIADIC(fscanf) { return m_vfscanf(POINTER(0), POINTER(1), REST(2)); }

VARIADIC(__sprintf_chk) { return m___vsprintf_chk(POINTER(0), 0, registers[2], POINTER(3), REST(4)); }

VARIADIC(__snprintf_chk)
{
    return m___vsnprintf_chk(POINTER(0), registers[1], 0, registers[3], POINTER(4), REST(5));
}

VARIADIC(swprintf)
{
    const wchar_t *format = POINTER(2);
    for (const wchar_t *at = format; (at = wcschr(at, L'L')) != NULL; at++) {
        fail_shim("swprintf() with a long double");
    }
    MAKE_LIST(list, REST(3));
    return vswprintf(POINTER(0), registers[1], format, list);
}

/* ---- with a locale ---- */

VARIADIC(snprintf_l)
{
    return WITH_LOCALE(POINTER(2), m_vsnprintf(POINTER(0), registers[1], POINTER(3), REST(4)));
}

VARIADIC(asprintf_l)
{
    return WITH_LOCALE(POINTER(1), m_vasprintf(POINTER(0), POINTER(2), REST(3)));
}

VARIADIC(sscanf_l)
{
    return WITH_LOCALE(POINTER(1), m_vsscanf(POINTER(0), POINTER(2), REST(3)));
}

#else

EXPORT(snprintf_l, int)(char *buffer, size_t size, locale_t locale, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int length = WITH_LOCALE(locale, vsnprintf(buffer, size, format, list));
    va_end(list);
    return length;
}

EXPORT(asprintf_l, int)(char **buffer, locale_t locale, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int length = WITH_LOCALE(locale, vasprintf(buffer, format, list));
    va_end(list);
    return length;
}

EXPORT(sscanf_l, int)(const char *text, locale_t locale, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int count = WITH_LOCALE(locale, vsscanf(text, format, list));
    va_end(list);
    return count;
}

#endif
