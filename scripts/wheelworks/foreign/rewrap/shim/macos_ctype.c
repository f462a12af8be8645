/* Classes of characters: Apple's are bits in tables (_RuneLocale), which inline functions of <ctype.h> read.

   The tables are those of the "C" locale: ASCII. Python extensions that change the locale of the process are rare, and
   Apple's default for characters beyond ASCII is to have none.
   Sources: Apple's <_ctype.h>, <runetype.h>, <_wctype.h>. */

#include <ctype.h>
#include <wchar.h>
#include <wctype.h>

#include "macos.h"

EXPORT(_DefaultRuneLocale, AppleRuneLocale) = {
    .magic = {'R', 'u', 'n', 'e', 'M', 'a', 'g', 'A'}, .encoding = "NONE", .invalid_rune = 0xFFFD};
EXPORT(_CurrentRuneLocale, AppleRuneLocale *) = &m__DefaultRuneLocale;

static u32
find_types(int character)
{
    u32 types = 0;
#define ROW(name, bit, function) types |= function(character) ? bit : 0;
    APPLE_CTYPES(ROW)
#undef ROW
    if (isdigit(character)) {
        types |= character - '0'; /* the lower 8 bits are a digit's value */
    }
    if (isalpha(character) && isxdigit(character)) {
        types |= tolower(character) - 'a' + 10;
    }
    return types;
}

__attribute__((constructor)) static void
fill_tables(void)
{
    for (int character = 0; character < 256; character++) {
        int ascii = character < 128;
        m__DefaultRuneLocale.types[character] = ascii ? find_types(character) : 0;
        m__DefaultRuneLocale.lower[character] = ascii ? tolower(character) : character;
        m__DefaultRuneLocale.upper[character] = ascii ? toupper(character) : character;
    }
}

/* The functions for characters that the tables don't have. */
EXPORT(__maskrune, int)(int character, unsigned long mask)
{
    return character >= 0 && character < 256 ? (int)(m__DefaultRuneLocale.types[character] & mask) : 0;
}

EXPORT(___runetype, unsigned long)(int character)
{
    return character >= 0 && character < 256 ? m__DefaultRuneLocale.types[character] : 0;
}

EXPORT(__tolower, int)(int character)
{
    return character >= 0 && character < 256 ? m__DefaultRuneLocale.lower[character] : character;
}

EXPORT(__toupper, int)(int character)
{
    return character >= 0 && character < 256 ? m__DefaultRuneLocale.upper[character] : character;
}

EXPORT(___tolower, int)(int character) { return m___tolower(character); }

EXPORT(___toupper, int)(int character) { return m___toupper(character); }

EXPORT(__istype, int)(int character, unsigned long mask) { return m___maskrune(character, mask) != 0; }

/* With a locale: every locale has the same tables here. */
EXPORT(___runetype_l, unsigned long)(int character, void *locale) { return m____runetype(character); }

EXPORT(___tolower_l, int)(int character, void *locale) { return m___tolower(character); }

EXPORT(___toupper_l, int)(int character, void *locale) { return m___toupper(character); }

EXPORT(__maskrune_l, int)(int character, unsigned long mask, void *locale) { return m___maskrune(character, mask); }
