/* The rest of libSystem that differs from glibc: standard streams, assertions, checked and Apple's own functions of
   texts and memory, random numbers, loaded libraries, the stack's guard, `long double`.

   Sources: Apple's <stdio.h>, <assert.h>, <secure/_string.h>, <string.h>, <stdlib.h>, <math.h>, <dlfcn.h>,
   <malloc/malloc.h>, <CommonCrypto/CommonRandom.h>; compiler-rt for the functions of 128-bit integers. */

#include <complex.h>
#include <dlfcn.h>
#include <malloc.h>
#include <math.h>
#include <signal.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>
#include <wchar.h>

#include "macos.h"

/* ---- standard streams: a FILE is opaque, except to __swbuf() and __srget(), which are left out ---- */

EXPORT(__stdinp, FILE *);
EXPORT(__stdoutp, FILE *);
EXPORT(__stderrp, FILE *);

__attribute__((constructor)) static void
set_streams(void)
{
    m___stdinp = stdin;
    m___stdoutp = stdout;
    m___stderrp = stderr;
}

EXPORT(__assert_rtn, void)(const char *function, const char *file, int line, const char *expression)
{
    fprintf(stderr, "Assertion failed: (%s), function %s, file %s, line %d.\n", expression, function, file, line);
    fflush(stderr);
    abort();
}

EXPORT(abort_report_np, void)(const char *text)
{
    fprintf(stderr, "%s\n", text);
    abort();
}

/* ---- the stack ---- */

EXPORT(__stack_chk_guard, u64);

__attribute__((constructor)) static void
set_stack_guard(void)
{
    if (getentropy(&m___stack_chk_guard, sizeof(m___stack_chk_guard)) != 0) {
        fail_shim("no random numbers");
    }
    m___stack_chk_guard &= ~(u64)0xFF; /* a zero byte, which a text that overflows can't write */
}

EXPORT(__stack_chk_fail, void)(void)
{
    fputs("stack buffer overflow detected by the module's own check\n", stderr);
    abort();
}

/* The caller is about to use a large frame. Linux needs no touching of its pages in order. All registers are kept. */
#if defined(__aarch64__)
__asm__(".text\n"
        ".balign 4\n"
        ".global m___chkstk_darwin\n"
        ".type m___chkstk_darwin, %function\n"
        "m___chkstk_darwin:\n"
        "    ret\n");
#else
__asm__(".text\n"
        ".global m____chkstk_darwin\n"
        ".type m____chkstk_darwin, @function\n"
        "m____chkstk_darwin:\n"
        "    retq\n");
#endif

/* ---- texts and memory ---- */

void
check_room(size_t needed, size_t room)
{
    if (needed > room) {
        fputs("buffer overflow detected by a checked function\n", stderr);
        abort();
    }
}

EXPORT(__memcpy_chk, void *)(void *to, const void *from, size_t size, size_t room)
{
    check_room(size, room);
    return memcpy(to, from, size);
}

EXPORT(__memmove_chk, void *)(void *to, const void *from, size_t size, size_t room)
{
    check_room(size, room);
    return memmove(to, from, size);
}

EXPORT(__memset_chk, void *)(void *to, int value, size_t size, size_t room)
{
    check_room(size, room);
    return memset(to, value, size);
}

EXPORT(__strcpy_chk, char *)(char *to, const char *from, size_t room)
{
    check_room(strlen(from) + 1, room);
    return strcpy(to, from);
}

EXPORT(__stpcpy_chk, char *)(char *to, const char *from, size_t room)
{
    check_room(strlen(from) + 1, room);
    return stpcpy(to, from);
}

EXPORT(__strncpy_chk, char *)(char *to, const char *from, size_t size, size_t room)
{
    check_room(size, room);
    return strncpy(to, from, size);
}

EXPORT(__strcat_chk, char *)(char *to, const char *from, size_t room)
{
    check_room(strlen(to) + strlen(from) + 1, room);
    return strcat(to, from);
}

EXPORT(__strncat_chk, char *)(char *to, const char *from, size_t size, size_t room)
{
    check_room(strlen(to) + strnlen(from, size) + 1, room);
    return strncat(to, from, size);
}

EXPORT(strlcpy, size_t)(char *to, const char *from, size_t room)
{
    size_t length = strlen(from);
    if (room > 0) {
        size_t kept = length < room ? length : room - 1;
        memcpy(to, from, kept);
        to[kept] = 0;
    }
    return length;
}

EXPORT(strlcat, size_t)(char *to, const char *from, size_t room)
{
    size_t used = strnlen(to, room);
    return used + (used == room ? strlen(from) : m_strlcpy(to + used, from, room - used));
}

EXPORT(__strlcpy_chk, size_t)(char *to, const char *from, size_t size, size_t room)
{
    check_room(size, room);
    return m_strlcpy(to, from, size);
}

EXPORT(__strlcat_chk, size_t)(char *to, const char *from, size_t size, size_t room)
{
    check_room(size, room);
    return m_strlcat(to, from, size);
}

static void
repeat_pattern(char *to, const char *pattern, size_t width, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = pattern[i % width];
    }
}

EXPORT(memset_pattern4, void)(char *to, const char *pattern, size_t size) { repeat_pattern(to, pattern, 4, size); }

EXPORT(memset_pattern8, void)(char *to, const char *pattern, size_t size) { repeat_pattern(to, pattern, 8, size); }

EXPORT(memset_pattern16, void)(char *to, const char *pattern, size_t size) { repeat_pattern(to, pattern, 16, size); }

EXPORT(__bzero, void)(void *to, size_t size) { memset(to, 0, size); }

EXPORT(memset_s, int)(void *to, size_t room, int value, size_t size)
{
    memset(to, value, size < room ? size : room);
    __asm__ volatile("" : : "r"(to) : "memory"); /* not to be left out */
    return size <= room ? 0 : EOVERFLOW;
}

EXPORT(malloc_size, size_t)(void *block) { return malloc_usable_size(block); }

EXPORT(malloc_good_size, size_t)(size_t size) { return (size + 15) & ~(size_t)15; }

typedef int Compare(void *given, const void *left, const void *right);

typedef struct {
    Compare *compare;
    void *given;
} Sorting;

static int
compare_swapped(const void *left, const void *right, void *sorting)
{
    return ((Sorting *)sorting)->compare(((Sorting *)sorting)->given, left, right);
}

/* BSD's order of arguments: `given` comes before the function, and first in its arguments. */
EXPORT(qsort_r, void)(void *items, size_t count, size_t size, void *given, Compare *compare)
{
    qsort_r(items, count, size, compare_swapped, &(Sorting){compare, given});
}

/* ---- random numbers ---- */

static void
fill_random(void *buffer, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t part = size - done < 256 ? size - done : 256; /* what getentropy() takes at once */
        if (getentropy((char *)buffer + done, part) != 0) {
            fail_shim("no random numbers");
        }
        done += part;
    }
}

EXPORT(arc4random_buf, void)(void *buffer, size_t size) { fill_random(buffer, size); }

EXPORT(arc4random, u32)(void)
{
    u32 number;
    fill_random(&number, sizeof(number));
    return number;
}

EXPORT(arc4random_uniform, u32)(u32 bound)
{
    u32 number;
    u32 least = bound < 2 ? 0 : -bound % bound; /* numbers below would make small results more likely */
    do {
        number = m_arc4random();
    } while (number < least);
    return bound < 2 ? 0 : number % bound;
}

EXPORT(CCRandomGenerateBytes, int)(void *buffer, size_t size)
{
    fill_random(buffer, size);
    return 0; /* kCCSuccess */
}

/* ---- loaded libraries ---- */

EXPORT(dlopen, void *)(const char *path, int mode)
{
    int flags = mode & (ARTLD_LAZY | ARTLD_NOW) ? mode & (ARTLD_LAZY | ARTLD_NOW) : RTLD_LAZY;
    /* Apple's default is RTLD_GLOBAL. */
    return dlopen(path, flags | (mode & ARTLD_LOCAL ? 0 : RTLD_GLOBAL) | (mode & ARTLD_NOLOAD ? RTLD_NOLOAD : 0) |
                            (mode & ARTLD_NODELETE ? RTLD_NODELETE : 0));
}

/* Of all that is loaded, a module may find what an import may be bound to: the shim's functions, CPython's, and those of
   glibc that are the same. Others may differ from Apple's. */
EXPORT(dlsym, void *)(void *handle, const char *name)
{
    if ((intptr_t)handle >= 0 || (intptr_t)handle < -5) {
        return dlsym(handle, name);
    }
    void *found = find_in_shim(name);
    if (found == NULL && (strncmp(name, "Py", 2) == 0 || strncmp(name, "_Py", 3) == 0)) {
        found = dlsym(RTLD_DEFAULT, name);
    }
    return found ? found : find_in_glibc(name);
}

/* ---- signals: numbers differ ---- */

static int
to_linux_signal(int number)
{
    switch (number) {
#define ROW(name, apple)                                                                                               \
    case apple:                                                                                                        \
        return name;
        APPLE_SIGNALS(ROW)
#undef ROW
    case 7: /* SIGEMT and SIGINFO have no twin */
    case 29:
        return -1;
    default:
        return number;
    }
}

EXPORT(raise, int)(int number) { return raise(to_linux_signal(number)); }

EXPORT(kill, int)(pid_t process, int number) { return kill(process, to_linux_signal(number)); }

EXPORT(pthread_kill, int)(pthread_t thread, int number)
{
    return to_apple_error(pthread_kill(thread, to_linux_signal(number)));
}

/* ---- numbers ---- */

EXPORT(__exp10, double)(double x) { return exp10(x); }

EXPORT(__exp10f, float)(float x) { return exp10f(x); }

/* Pairs in registers: the sine first (AAPCS64: s0, s1 or d0, d1). On x86-64, Apple returns the float pair in xmm0. */
typedef struct {
    double sine, cosine;
} DoublePair;

typedef struct {
    float sine, cosine;
} FloatPair;

EXPORT(__sincos_stret, DoublePair)(double x) { return (DoublePair){sin(x), cos(x)}; }

EXPORT(__sincosf_stret, FloatPair)(float x) { return (FloatPair){sinf(x), cosf(x)}; }

typedef unsigned __int128 u128;
typedef __int128 i128;

EXPORT(__udivti3, u128)(u128 left, u128 right) { return left / right; }

EXPORT(__umodti3, u128)(u128 left, u128 right) { return left % right; }

EXPORT(__divti3, i128)(i128 left, i128 right) { return left / right; }

EXPORT(__modti3, i128)(i128 left, i128 right) { return left % right; }

EXPORT(__floattidf, double)(i128 number) { return (double)number; }

EXPORT(__floatuntidf, double)(u128 number) { return (double)number; }

EXPORT(__fixunsdfti, u128)(double number) { return (u128)number; }

EXPORT(__fixdfti, i128)(double number) { return (i128)number; }

/* Apple's classes of floating-point numbers have other numbers than Linux's. */
static int
classify(int is_nan, int is_infinite, int is_zero, int is_normal)
{
    return is_nan ? 1 : is_infinite ? 2 : is_zero ? 3 : is_normal ? 4 : 5;
}

EXPORT(__fpclassifyf, int)(float x) { return classify(isnan(x), isinf(x), x == 0, isnormal(x)); }

EXPORT(__fpclassifyd, int)(double x) { return classify(isnan(x), isinf(x), x == 0, isnormal(x)); }

/* ---- the end of the process: glibc has atexit() only in the part that each library links for itself ---- */

EXPORT(atexit, int)(void (*function)(void)) { return atexit(function); }
