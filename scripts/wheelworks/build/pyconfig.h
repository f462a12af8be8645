/* pyconfig.h for any target: the compiler's own macros provide what CPython's public headers need.
 *
 * The pyconfig.h that an interpreter ships describes the machine that built it. This one is copied beside an
 * interpreter's other headers, which are the same on every platform.
 */
#ifndef Py_PYCONFIG_H
#define Py_PYCONFIG_H

#define ALIGNOF_LONG __alignof__(long)
#define ALIGNOF_SIZE_T __alignof__(__SIZE_TYPE__)
#define SIZEOF_DOUBLE __SIZEOF_DOUBLE__
#define SIZEOF_FLOAT __SIZEOF_FLOAT__
#define SIZEOF_INT __SIZEOF_INT__
#define SIZEOF_LONG __SIZEOF_LONG__
#define SIZEOF_LONG_DOUBLE __SIZEOF_LONG_DOUBLE__
#define SIZEOF_LONG_LONG __SIZEOF_LONG_LONG__
#define SIZEOF_SHORT __SIZEOF_SHORT__
#define SIZEOF_SIZE_T __SIZEOF_SIZE_T__
#define SIZEOF_UINTPTR_T __SIZEOF_POINTER__
#define SIZEOF_VOID_P __SIZEOF_POINTER__
#define SIZEOF_WCHAR_T __SIZEOF_WCHAR_T__
#define SIZEOF__BOOL 1
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define WORDS_BIGENDIAN 1
#endif

#define HAVE_LONG_LONG 1
#define HAVE_STDARG_PROTOTYPES 1
#define HAVE_STDDEF_H 1
#define HAVE_STDINT_H 1
#define HAVE_STDLIB_H 1
#define HAVE_STRING_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_WCHAR_H 1
#define HAVE_ERRNO_H 1
#define HAVE_BUILTIN_ATOMIC 1
#define HAVE_STD_ATOMIC 1
#define STDC_HEADERS 1
#define WITH_DOC_STRINGS 1
#define WITH_PYMALLOC 1
#define WITH_THREAD 1

/* Which parts of the system's headers are visible: what CPython's configure settles on. */
#define _FILE_OFFSET_BITS 64
#define _LARGEFILE_SOURCE 1
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE 1
#elif !defined(_WIN32)
#define _GNU_SOURCE 1
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700
#define _XOPEN_SOURCE_EXTENDED 1
#endif

#ifdef _WIN32
#define MS_WINDOWS 1
#define MS_WIN32 1
#ifdef _WIN64
#define MS_WIN64 1
#endif
#define HAVE_DECLSPEC_DLL 1
#define HAVE_USABLE_WCHAR_T 1
#define NT_THREADS 1
#define PLATLIBDIR "DLLs"
#if defined(Py_GIL_DISABLED) && defined(__aarch64__) && !defined(_MSC_VER)
/* Python.h asks for register 18, the thread, by an intrinsic of Microsoft's compiler, which is a builtin function of
   clang only where the source is Microsoft's C (-fms-extensions). */
#if __has_builtin(__getReg)
#ifdef __cplusplus
extern "C"
#endif
unsigned long long __getReg(int number);
#else
static inline unsigned long long
__getReg(int number)
{
    unsigned long long value;
    (void)number;
    __asm__("mov %0, x18" : "=r"(value));
    return value;
}
#endif
#endif
#define Py_ENABLE_SHARED 1 /* functions and data come from a DLL: __declspec(dllimport) */
#else /* POSIX */
#define HAVE_CLOCK_GETTIME 1
#define HAVE_FORK 1
#define HAVE_LANGINFO_H 1
#define HAVE_PTHREAD_H 1
#define HAVE_SSIZE_T 1
#define HAVE_SYS_SELECT_H 1
#define HAVE_SYS_TIME_H 1
#define HAVE_UNISTD_H 1
#define PLATLIBDIR "lib"
#endif

#endif
