/* What the files of the macOS shim have in common. */

#ifndef WHEELWORKS_MACOS_H
#define WHEELWORKS_MACOS_H

#include <locale.h>

#include "macos_abi.h"
#include "shim.h"

/* macos_errno.c. A function of the shim that the module calls leaves its error in Linux's errno. */
int to_apple_error(int number);
int to_linux_error(int number);

/* macos_mach.c: the time of one of Linux's clocks; 0 where it doesn't exist. */
u64 read_nanoseconds(clockid_t clock);

/* macos_locale.c: the locale itself, or the "C" locale for NULL. */
locale_t open_locale(locale_t locale);

/* The result of a call that is done while a locale is the thread's. */
#define WITH_LOCALE(locale, call)                                                                                      \
    ({                                                                                                                 \
        locale_t before = uselocale(open_locale(locale));                                                              \
        __auto_type result = call;                                                                                     \
        uselocale(before);                                                                                             \
        result;                                                                                                        \
    })

/* macos_libsystem.c: abort if a checked function needs more room than the compiler knows of. */
void check_room(size_t needed, size_t room);

/* Apple's `long double` has 64 bits on ARM64, Linux's has 128; on x86-64 both have 80. */
#if defined(__aarch64__)
typedef double AppleLongDouble;
#else
typedef long double AppleLongDouble;
#endif

/* A va_list as the module passes it: see MAKE_LIST. On x86-64 it is Linux's own. */
#if defined(__aarch64__)
typedef void *AppleList;
#define USE_LIST(list, given) MAKE_LIST(list, given)
#else
typedef va_list AppleList;
#define USE_LIST(list, given)                                                                                          \
    va_list list;                                                                                                      \
    va_copy(list, given)
#endif

/* Modules of macOS x86-64 ask for some functions by the name of a later ABI, such as stat$INODE64. The rewrapper looks
   a name up with its suffix first, then without. */

#endif
