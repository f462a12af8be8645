/* Locales: numbers of categories differ, and many more functions take a locale_t. NULL is the "C" locale.

   Sources: Apple's <locale.h>, <_locale_posix2008.h>, <xlocale.h>, <langinfo.h>. */

#include <langinfo.h>
#include <locale.h>
#include <nl_types.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

#include "macos.h"

static int
to_linux_category(int category)
{
    switch (category) {
#define ROW(name, number)                                                                                              \
    case number:                                                                                                       \
        return name;
        APPLE_LOCALE_CATEGORIES(ROW)
#undef ROW
    default:
        return -1;
    }
}

static int
to_linux_mask(int mask)
{
    int found = 0;
#define ROW(name, bit) found |= mask & bit ? name : 0;
    APPLE_LOCALE_MASKS(ROW)
#undef ROW
    return found;
}

/* The C locale, for NULL; other locales are glibc's, and so is LC_GLOBAL_LOCALE, -1. */
locale_t
open_locale(locale_t locale)
{
    static locale_t c_locale;
    if (locale != NULL) {
        return locale;
    }
    locale_t found = __atomic_load_n(&c_locale, __ATOMIC_ACQUIRE);
    if (found == NULL) {
        found = newlocale(LC_ALL_MASK, "C", NULL);
        __atomic_store_n(&c_locale, found, __ATOMIC_RELEASE); /* glibc has one C locale: all threads store the same */
    }
    return found;
}

/* What Apple's MB_CUR_MAX reads: as it is when the shim is loaded, and after the module's own setlocale(). */
EXPORT(__mb_cur_max, int);

__attribute__((constructor)) static void
set_mb_cur_max(void)
{
    m___mb_cur_max = MB_CUR_MAX;
}

EXPORT(setlocale, char *)(int category, const char *name)
{
    char *found = setlocale(to_linux_category(category), name);
    set_mb_cur_max();
    return found;
}

EXPORT(newlocale, locale_t)(int mask, const char *name, locale_t base)
{
    return newlocale(to_linux_mask(mask), name, base);
}

EXPORT(freelocale, int)(locale_t locale)
{
    if (locale != NULL) {
        freelocale(locale);
    }
    return 0;
}

EXPORT(duplocale, locale_t)(locale_t locale) { return duplocale(open_locale(locale)); }

EXPORT(nl_langinfo, char *)(int item)
{
    switch (item) {
#define ROW(name, number)                                                                                              \
    case number:                                                                                                       \
        return nl_langinfo(name);
        APPLE_LANGINFO(ROW)
#undef ROW
    default:
        end_unsupported(STATUS_SHIM_FAILED, "nl_langinfo() of the item %d", item);
    }
}

_Static_assert(offsetof(struct lconv, int_frac_digits) == sizeof(((AppleLconv *)0)->texts), "ten texts come first");

static AppleLconv *
copy_conventions(const struct lconv *found)
{
    static __thread AppleLconv result;
    memcpy(result.texts, found, sizeof(result.texts));
    result.int_frac_digits = found->int_frac_digits;
    result.frac_digits = found->frac_digits;
    result.p_cs_precedes = found->p_cs_precedes;
    result.p_sep_by_space = found->p_sep_by_space;
    result.n_cs_precedes = found->n_cs_precedes;
    result.n_sep_by_space = found->n_sep_by_space;
    result.p_sign_posn = found->p_sign_posn;
    result.n_sign_posn = found->n_sign_posn;
    result.int_p_cs_precedes = found->int_p_cs_precedes;
    result.int_n_cs_precedes = found->int_n_cs_precedes;
    result.int_p_sep_by_space = found->int_p_sep_by_space;
    result.int_n_sep_by_space = found->int_n_sep_by_space;
    result.int_p_sign_posn = found->int_p_sign_posn;
    result.int_n_sign_posn = found->int_n_sign_posn;
    return &result;
}

EXPORT(localeconv, AppleLconv *)(void) { return copy_conventions(localeconv()); }

/* ---- functions with a locale that glibc has only without: the thread's locale is changed for the call ---- */

EXPORT(localeconv_l, AppleLconv *)(locale_t locale)
{
    return WITH_LOCALE(locale, copy_conventions(localeconv()));
}

EXPORT(___mb_cur_max, int)(void) { return MB_CUR_MAX; }

EXPORT(___mb_cur_max_l, int)(locale_t locale) { return WITH_LOCALE(locale, MB_CUR_MAX); }

EXPORT(btowc_l, wint_t)(int byte, locale_t locale) { return WITH_LOCALE(locale, btowc(byte)); }

EXPORT(wctob_l, int)(wint_t wide, locale_t locale) { return WITH_LOCALE(locale, wctob(wide)); }

EXPORT(mbtowc_l, int)(wchar_t *wide, const char *text, size_t size, locale_t locale)
{
    return WITH_LOCALE(locale, mbtowc(wide, text, size));
}

/* mbstate_t has 128 bytes on Apple and 8 here. */
EXPORT(mbrlen_l, size_t)(const char *text, size_t size, mbstate_t *state, locale_t locale)
{
    return WITH_LOCALE(locale, mbrlen(text, size, state));
}

EXPORT(mbrtowc_l, size_t)(wchar_t *wide, const char *text, size_t size, mbstate_t *state, locale_t locale)
{
    return WITH_LOCALE(locale, mbrtowc(wide, text, size, state));
}

EXPORT(wcrtomb_l, size_t)(char *text, wchar_t wide, mbstate_t *state, locale_t locale)
{
    return WITH_LOCALE(locale, wcrtomb(text, wide, state));
}

EXPORT(mbsrtowcs_l, size_t)(wchar_t *wide, const char **text, size_t size, mbstate_t *state, locale_t locale)
{
    return WITH_LOCALE(locale, mbsrtowcs(wide, text, size, state));
}

EXPORT(mbsnrtowcs_l, size_t)
(wchar_t *wide, const char **text, size_t given, size_t size, mbstate_t *state, locale_t locale)
{
    return WITH_LOCALE(locale, mbsnrtowcs(wide, text, given, size, state));
}

EXPORT(wcsnrtombs_l, size_t)
(char *text, const wchar_t **wide, size_t given, size_t size, mbstate_t *state, locale_t locale)
{
    return WITH_LOCALE(locale, wcsnrtombs(text, wide, given, size, state));
}

/* ---- functions that glibc has too ---- */

EXPORT(strcoll_l, int)(const char *left, const char *right, locale_t locale)
{
    return strcoll_l(left, right, open_locale(locale));
}

EXPORT(strxfrm_l, size_t)(char *to, const char *from, size_t size, locale_t locale)
{
    return strxfrm_l(to, from, size, open_locale(locale));
}

EXPORT(wcscoll_l, int)(const wchar_t *left, const wchar_t *right, locale_t locale)
{
    return wcscoll_l(left, right, open_locale(locale));
}

EXPORT(wcsxfrm_l, size_t)(wchar_t *to, const wchar_t *from, size_t size, locale_t locale)
{
    return wcsxfrm_l(to, from, size, open_locale(locale));
}

EXPORT(strftime_l, size_t)(char *to, size_t size, const char *format, const struct tm *time, locale_t locale)
{
    return strftime_l(to, size, format, time, open_locale(locale));
}

EXPORT(strtod_l, double)(const char *text, char **end, locale_t locale)
{
    return strtod_l(text, end, open_locale(locale));
}

EXPORT(strtof_l, float)(const char *text, char **end, locale_t locale)
{
    return strtof_l(text, end, open_locale(locale));
}

EXPORT(strtold_l, AppleLongDouble)(const char *text, char **end, locale_t locale)
{
#if defined(__aarch64__)
    return strtod_l(text, end, open_locale(locale));
#else
    return strtold_l(text, end, open_locale(locale));
#endif
}
