/* The formats of Microsoft's printf family.

   Each conversion takes one 8-byte slot and is printed by glibc on its own, so that the differences stay in one place:
   `long` has 32 bits, `long double` 64, texts may be UTF-16, and there are the sizes I, I32, I64 and w.
   Source: https://learn.microsoft.com/cpp/c-runtime-library/format-specification-syntax-printf-and-wprintf-functions,
   corecrt_stdio_config.h (the options). */

#include "windows.h"

enum { THREE_DIGIT_EXPONENTS = 16 };

/* ---- a text that grows ---- */

static void
append(Text *text, const char *from, size_t length)
{
    if (text->length + length + 1 > text->capacity) {
        text->capacity = 2 * (text->length + length) + 64;
        text->data = realloc(text->data, text->capacity);
        if (text->data == NULL) {
            fail_shim("no memory for a formatted text");
        }
    }
    memcpy(text->data + text->length, from, length);
    text->length += length;
    text->data[text->length] = 0;
}

/* Append one conversion that glibc does. Its width and precision are parameters, so that `format` is short. */
__attribute__((format(printf, 2, 3))) static void
append_formatted(Text *text, const char *format, ...)
{
    char small[128];
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int length = vsnprintf(small, sizeof(small), format, list);
    if (length >= (int)sizeof(small)) {
        char *large = malloc((size_t)length + 1);
        if (large == NULL) {
            fail_shim("no memory for a formatted text");
        }
        vsnprintf(large, (size_t)length + 1, format, again);
        append(text, large, (size_t)length);
        free(large);
    } else if (length > 0) {
        append(text, small, (size_t)length);
    }
    va_end(again);
    va_end(list);
}

/* ---- one conversion ---- */

typedef enum { SIZE_INT, SIZE_CHAR, SIZE_SHORT, SIZE_LONG, SIZE_64, SIZE_WIDE } Size;

typedef struct {
    char flags[8];
    int width, precision; /* precision -1: none */
    Size size;
    char conversion;
} Conversion;

static const struct {
    const char *text;
    Size size;
} sizes[] = {
    /* longer ones first */
    {"I64", SIZE_64}, {"I32", SIZE_INT}, {"hh", SIZE_CHAR}, {"ll", SIZE_64}, {"h", SIZE_SHORT}, {"l", SIZE_LONG},
    {"I", SIZE_64},   {"j", SIZE_64},    {"z", SIZE_64},    {"t", SIZE_64},  {"w", SIZE_WIDE},  {"L", SIZE_INT},
};

static int
read_number(const char **format, const u64 **slots, int missing)
{
    if (**format == '*') {
        (*format)++;
        return (int)*(*slots)++;
    }
    int number = missing;
    while (**format >= '0' && **format <= '9') {
        number = (number < 0 ? 0 : number) * 10 + (*(*format)++ - '0');
        if (number > 100000000) {
            fail_shim("a width in a format is too large");
        }
    }
    return number;
}

/* Read what follows a percent sign and advance `format` behind it. */
static Conversion
read_conversion(const char **format, const u64 **slots)
{
    Conversion found = {.precision = -1};
    for (size_t count = 0; **format && strchr("-+ #0", **format); (*format)++) {
        if (!strchr(found.flags, **format)) {
            found.flags[count++] = **format;
        }
    }
    found.width = read_number(format, slots, 0);
    if (found.width < 0) {
        found.width = -found.width;
        strcat(found.flags, "-");
    }
    if (**format == '.') {
        (*format)++;
        found.precision = read_number(format, slots, 0);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        size_t length = strlen(sizes[i].text);
        if (strncmp(*format, sizes[i].text, length) == 0) {
            found.size = sizes[i].size;
            *format += length;
            break;
        }
    }
    found.conversion = **format;
    *format += **format != 0;
    return found;
}

/* Write "%flags*.*SIZEc" for glibc. */
static const char *
make_format(const Conversion *one, const char *size, char conversion, char *buffer)
{
    sprintf(buffer, "%%%s*.*%s%c", one->flags, size, conversion);
    return buffer;
}

static void
append_integer(Text *text, const Conversion *one, u64 slot)
{
    int is_signed = one->conversion == 'd' || one->conversion == 'i';
    u64 value = slot;
    if (one->size == SIZE_CHAR) {
        value = is_signed ? (u64)(int64_t)(int8_t)slot : (u8)slot;
    } else if (one->size == SIZE_SHORT) {
        value = is_signed ? (u64)(int64_t)(int16_t)slot : (u16)slot;
    } else if (one->size != SIZE_64) {
        value = is_signed ? (u64)(int64_t)(int32_t)slot : (u32)slot;
    }
    char format[32];
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
    append_formatted(text, make_format(one, "ll", one->conversion, format), one->width, one->precision,
                     (long long)value);
#pragma clang diagnostic pop
}

static void
append_double(Text *text, const Conversion *one, u64 slot)
{
    double value;
    memcpy(&value, &slot, sizeof(value));
    int precision = one->precision < 0 && (one->conversion | 32) == 'a' ? 13 : one->precision; /* all digits, unasked */
    char format[32];
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
    append_formatted(text, make_format(one, "", one->conversion, format), one->width, precision, value);
#pragma clang diagnostic pop
}

static void
pad(Text *text, int count)
{
    while (count-- > 0) {
        append(text, " ", 1);
    }
}

static void
append_padded(Text *text, const Conversion *one, const char *from, size_t length, size_t shown)
{
    int missing = one->width > (int)shown ? one->width - (int)shown : 0;
    int left = strchr(one->flags, '-') != NULL;
    pad(text, left ? 0 : missing);
    append(text, from, length);
    pad(text, left ? missing : 0);
}

/* A precision counts the units of the text: bytes, or UTF-16's. */
static void
append_text(Text *text, const Conversion *one, const void *from, int wide)
{
    if (from == NULL) {
        from = "(null)";
        wide = 0;
    }
    size_t limit = one->precision < 0 ? (size_t)-1 : (size_t)one->precision, count = 0;
    if (!wide) {
        count = strnlen(from, limit);
        append_padded(text, one, from, count, count);
        return;
    }
    while (count < limit && ((const WCHAR *)from)[count]) {
        count++;
    }
    size_t size = to_utf8(from, count, NULL, 0, NULL);
    char *bytes = malloc(size + 1);
    if (bytes == NULL) {
        fail_shim("no memory for a formatted text");
    }
    to_utf8(from, count, bytes, size, NULL);
    append_padded(text, one, bytes, size, count);
    free(bytes);
}

static void
append_character(Text *text, const Conversion *one, u64 slot, int wide)
{
    WCHAR unit = (WCHAR)slot;
    char bytes[4] = {(char)slot};
    size_t length = wide ? to_utf8(&unit, 1, bytes, sizeof(bytes), NULL) : 1;
    append_padded(text, one, bytes, length, 1);
}

static void
append_conversion(Text *text, const Conversion *one, const u64 **slots, int wide_by_default)
{
    /* %S and %C are of the other kind than %s and %c, unless a size says which. */
    int wide = one->size == SIZE_LONG || one->size == SIZE_WIDE || (one->size != SIZE_SHORT && wide_by_default);
    int other = one->size == SIZE_INT ? !wide_by_default : wide;
    switch (one->conversion) {
    case '%': append(text, "%", 1); break;
    case 'c': append_character(text, one, *(*slots)++, wide); break;
    case 'C': append_character(text, one, *(*slots)++, other); break;
    case 's': append_text(text, one, (const void *)*(*slots)++, wide); break;
    case 'S': append_text(text, one, (const void *)*(*slots)++, other); break;
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X': append_integer(text, one, *(*slots)++); break;
    case 'a':
    case 'A':
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': append_double(text, one, *(*slots)++); break;
    case 'p': append_formatted(text, "%016llX", (unsigned long long)*(*slots)++); break;
    default: end_unsupported(STATUS_SHIM_FAILED, "printf's conversion '%c' of Windows", one->conversion);
    }
}

Text
format_all(u64 options, const char *format, const u64 *slots, int wide_by_default)
{
    if (options & THREE_DIGIT_EXPONENTS) {
        fail_shim("printf with exponents of three digits");
    }
    Text text = {0};
    append(&text, "", 0);
    while (*format) {
        size_t plain = strcspn(format, "%");
        append(&text, format, plain);
        format += plain;
        if (*format == '%') {
            format++;
            Conversion one = read_conversion(&format, &slots);
            append_conversion(&text, &one, &slots, wide_by_default);
        }
    }
    return text;
}
