/* Locales of Microsoft's C library and of Windows. Narrow texts are UTF-8 here, and the locale is "C" but for that.
   Source: locale.h, corecrt.h; https://learn.microsoft.com/windows/win32/intl/national-language-support-functions */

#include <ctype.h>
#include <locale.h>
#include <wchar.h>
#include <wctype.h>

#include "windows.h"

enum { UTF8 = 65001 };

/* LC_ALL 0, LC_COLLATE 1, LC_CTYPE 2, LC_MONETARY 3, LC_NUMERIC 4, LC_TIME 5 */
static const int categories[] = {LC_ALL, LC_COLLATE, LC_CTYPE, LC_MONETARY, LC_NUMERIC, LC_TIME};

EXPORT(setlocale, char *)(int category, const char *locale)
{
    if (category < 0 || category > 5) {
        return NULL;
    }
    return setlocale(categories[category], locale);
}

EXPORT(_wsetlocale, WCHAR *)(int category, const WCHAR *locale)
{
    static __thread WCHAR name[256];
    char *narrow = copy_utf8(locale);
    const char *result = locale && narrow == NULL ? NULL : w_setlocale(category, narrow);
    free(narrow);
    return result && copy_out(result, name, 256) < 256 ? name : NULL;
}

typedef struct { /* struct lconv of Windows: glibc's up to the signs' positions, then wide texts */
    char *texts[10];
    char numbers[8];
    WCHAR *wide[8];
} WindowsConventions;

EXPORT(localeconv, WindowsConventions *)(void)
{
    static WindowsConventions result;
    static WCHAR point[] = {'.', 0}, none[] = {0};
    const struct lconv *native = localeconv();
    memcpy(result.texts, native, sizeof(result.texts));
    const char numbers[] = {native->int_frac_digits, native->frac_digits,   native->p_cs_precedes,
                            native->p_sep_by_space,  native->n_cs_precedes, native->n_sep_by_space,
                            native->p_sign_posn,     native->n_sign_posn};
    memcpy(result.numbers, numbers, sizeof(numbers));
    for (int i = 0; i < 8; i++) {
        result.wide[i] = i == 0 ? point : none;
    }
    return &result;
}

EXPORT(___lc_codepage_func, u32)(void) { return UTF8; }
EXPORT(___lc_collate_cp_func, u32)(void) { return UTF8; }
EXPORT(___mb_cur_max_func, int)(void) { return 4; }
/* One name for each category: NULL means the C locale. */
EXPORT(___lc_locale_name_func, WCHAR **)(void)
{
    static WCHAR *names[6];
    return names;
}

static pthread_mutex_t locale_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
EXPORT(_lock_locales, void)(void) { pthread_mutex_lock(&locale_lock); }
EXPORT(_unlock_locales, void)(void) { pthread_mutex_unlock(&locale_lock); }

/* Classes of characters by the bits of ctype.h: _UPPER 1, _LOWER 2, _DIGIT 4, _SPACE 8, _PUNCT 0x10, _CONTROL 0x20,
   _BLANK 0x40, _HEX 0x80, _ALPHA 0x100. The table begins with EOF. */
static u16 classes[257];

static u16
classify(int c)
{
    int bits = (isupper(c) ? 0x101 : 0) | (islower(c) ? 0x102 : 0) | (isdigit(c) ? 4 : 0) | (isspace(c) ? 8 : 0);
    bits |= (ispunct(c) ? 0x10 : 0) | (iscntrl(c) ? 0x20 : 0) | (c == ' ' ? 0x40 : 0) | (isxdigit(c) ? 0x80 : 0);
    return (u16)bits;
}

__attribute__((constructor)) static void
fill_classes(void)
{
    for (int c = 0; c < 128; c++) {
        classes[c + 1] = classify(c);
    }
}

EXPORT(__pctype_func, const u16 *)(void) { return classes + 1; }
EXPORT(_isctype, int)(int c, int mask) { return c >= -1 && c < 256 ? classes[c + 1] & mask : 0; }

/* ---- conversion of texts in the C library ---- */

EXPORT(btowc, WCHAR)(int c) { return c >= 0 && c < 128 ? (WCHAR)c : 0xFFFF; }
EXPORT(wctob, int)(WCHAR unit) { return unit < 128 ? unit : EOF; }

EXPORT(mbstowcs, size_t)(WCHAR *to, const char *from, size_t count)
{
    int invalid = 0;
    size_t length = to_utf16(from, strlen(from), to, to ? count : 0, &invalid);
    if (invalid) {
        errno = EILSEQ;
        return (size_t)-1;
    }
    if (to != NULL && length < count) {
        to[length] = 0;
    }
    return to && length > count ? count : length;
}

EXPORT(wcstombs, size_t)(char *to, const WCHAR *from, size_t count)
{
    int invalid = 0;
    size_t length = to_utf8(from, wide_length(from), to, to ? count : 0, &invalid);
    if (invalid) {
        errno = EILSEQ;
        return (size_t)-1;
    }
    if (to != NULL && length < count) {
        to[length] = 0;
    }
    return to && length > count ? count : length;
}

/* ---- code pages: CP_ACP 0, CP_OEMCP 1, CP_THREAD_ACP 3, and UTF-8 mean UTF-8 ---- */

enum { ERR_INVALID_CHARS = 8, WC_ERR_INVALID_CHARS = 0x80 };

static BOOL
is_utf8(u32 page)
{
    return page == 0 || page == 1 || page == 3 || page == UTF8;
}

EXPORT(GetACP, u32)(void) { return UTF8; }
EXPORT(GetOEMCP, u32)(void) { return UTF8; }
EXPORT(GetConsoleOutputCP, u32)(void) { return UTF8; }
EXPORT(GetConsoleCP, u32)(void) { return UTF8; }
EXPORT(AreFileApisANSI, BOOL)(void) { return 1; }
EXPORT(IsValidCodePage, BOOL)(u32 page) { return page == UTF8; }

typedef struct {
    u32 longest;
    u8 replacement[2], lead_bytes[12];
} CodePage;

EXPORT(GetCPInfo, BOOL)(u32 page, CodePage *to)
{
    if (!is_utf8(page)) {
        return fail(ERROR_INVALID_PARAMETER);
    }
    *to = (CodePage){4, {'?'}, {0}};
    return 1;
}

/* Other code pages end the process, since a wrong text is worse. */
static void
check_page(u32 page)
{
    if (!is_utf8(page)) {
        end_unsupported(STATUS_SHIM_FAILED, "a text in Windows' code page %u", page);
    }
}

static int
check_converted(size_t needed, int size, int invalid, int strict)
{
    if (invalid && strict) {
        return fail(ERROR_NO_UNICODE_TRANSLATION);
    }
    return size > 0 && needed > (size_t)size ? fail(ERROR_INSUFFICIENT_BUFFER) : (int)needed;
}

EXPORT(MultiByteToWideChar, int)(u32 page, u32 flags, const char *from, int count, WCHAR *to, int size)
{
    check_page(page);
    if (from == NULL || count == 0 || size < 0) {
        return fail(ERROR_INVALID_PARAMETER);
    }
    int invalid = 0;
    size_t needed = to_utf16(from, (size_t)(ssize_t)(count < 0 ? -1 : count), to, (size_t)size, &invalid);
    return check_converted(needed, size, invalid, (flags & ERR_INVALID_CHARS) != 0);
}

EXPORT(WideCharToMultiByte, int)
(u32 page, u32 flags, const WCHAR *from, int count, char *to, int size, const char *replacement, BOOL *replaced)
{
    check_page(page);
    if (from == NULL || count == 0 || size < 0) {
        return fail(ERROR_INVALID_PARAMETER);
    }
    int invalid = 0;
    size_t needed = to_utf8(from, (size_t)(ssize_t)(count < 0 ? -1 : count), to, (size_t)size, &invalid);
    if (replaced != NULL) {
        *replaced = 0; /* UTF-8 has all characters */
    }
    return check_converted(needed, size, invalid, (flags & WC_ERR_INVALID_CHARS) != 0);
}

/* ---- national language support: characters of the BMP, without a language's rules ---- */

enum { CT_CTYPE1 = 1, LCMAP_LOWERCASE = 0x100, LCMAP_UPPERCASE = 0x200 };

static u16
classify_wide(WCHAR unit)
{
    u32 c = unit;
    if (c >= 0xD800 && c <= 0xDFFF) {
        return 0;
    }
    int bits = (iswupper(c) ? 1 : 0) | (iswlower(c) ? 2 : 0) | (iswdigit(c) ? 4 : 0) | (iswspace(c) ? 8 : 0);
    bits |= (iswpunct(c) ? 0x10 : 0) | (iswcntrl(c) ? 0x20 : 0) | (c == ' ' || c == '\t' ? 0x40 : 0);
    bits |= (iswxdigit(c) ? 0x80 : 0) | (iswalpha(c) ? 0x100 : 0);
    return (u16)(bits | 0x200); /* C1_DEFINED */
}

EXPORT(GetStringTypeW, BOOL)(u32 kind, const WCHAR *from, int count, u16 *to)
{
    if (kind != CT_CTYPE1) {
        end_unsupported(STATUS_SHIM_FAILED, "GetStringTypeW of kind %u", kind);
    }
    size_t length = count < 0 ? wide_length(from) + 1 : (size_t)count;
    for (size_t i = 0; i < length; i++) {
        to[i] = classify_wide(from[i]);
    }
    return 1;
}

EXPORT(LCMapStringEx, int)
(const WCHAR *locale, u32 flags, const WCHAR *from, int count, WCHAR *to, int size, void *version, void *reserved,
 u64 handle)
{
    u32 kind = flags & (LCMAP_LOWERCASE | LCMAP_UPPERCASE);
    if (flags & ~(LCMAP_LOWERCASE | LCMAP_UPPERCASE) || kind == 0 || kind == (LCMAP_LOWERCASE | LCMAP_UPPERCASE)) {
        end_unsupported(STATUS_SHIM_FAILED, "LCMapString with the flags 0x%x", flags);
    }
    int length = count < 0 ? (int)wide_length(from) + 1 : count;
    if (size != 0 && size < length) {
        return fail(ERROR_INSUFFICIENT_BUFFER);
    }
    for (int i = 0; size != 0 && i < length; i++) {
        to[i] = (WCHAR)(kind == LCMAP_LOWERCASE ? towlower(from[i]) : towupper(from[i]));
    }
    return length;
}

EXPORT(LCMapStringW, int)(u32 locale, u32 flags, const WCHAR *from, int count, WCHAR *to, int size)
{
    return w_LCMapStringEx(NULL, flags, from, count, to, size, NULL, NULL, 0);
}
