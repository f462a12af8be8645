/* What the shim libraries have in common.

   A shim library stands between a rewrapped module of Windows or macOS and the Linux that runs it. It exports a function
   for each import whose binary interface differs: `w_NAME` for Windows, `m_NAME` for macOS. The rewrapper binds an import
   to that name where the shim exports it. Both libraries are built by `shims.py`, with SHIM_WINDOWS or SHIM_MACOS.

   No function pretends: what can't be done properly is left out, so that the rewrapper reports the import as unresolved,
   or ends the process by fail_shim() or end_unsupported(), which say what is missing. */

#ifndef WHEELWORKS_SHIM_H
#define WHEELWORKS_SHIM_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "python_api.h"

#if defined(SHIM_WINDOWS)
#define PREFIX "w_"
#define EXPORT(name, type) __attribute__((visibility("default"))) type w_##name
#elif defined(SHIM_MACOS)
#define PREFIX "m_"
#define EXPORT(name, type) __attribute__((visibility("default"))) type m_##name
#else
#error "define SHIM_WINDOWS or SHIM_MACOS"
#endif

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

/* Functions that only assembly calls. */
#define CALLED_BY_ASSEMBLY __attribute__((used, visibility("hidden")))

/* Exit statuses. The run tells them, and the line on stderr, from a failure of the wheel. */
enum {
    STATUS_SHIM_FAILED = 97,     /* the shim itself met what it doesn't handle */
    STATUS_EXCEPTION = 98,       /* an exception that the shim can't deliver */
    STATUS_UNRESOLVED_CALL = 99, /* the module called an import that nothing exports here */
};

/* Print "wheelworks: unsupported: ..." to stderr and end the process at once, without running its exit handlers. */
__attribute__((noreturn, format(printf, 2, 3))) void end_unsupported(int status, const char *format, ...);
#define fail_shim(text) end_unsupported(STATUS_SHIM_FAILED, "%s", text)

void *find_in_shim(const char *name);
void *find_in_glibc(const char *name);

/* A module's va_list is a pointer to 8-byte slots: Windows' on ARM64 (registers x0 to x7 spilled below the arguments of
   the stack; https://learn.microsoft.com/cpp/build/arm64-windows-abi-conventions, "Variadic functions") and Apple's
   (https://developer.apple.com/documentation/xcode/writing-arm64-code-for-apple-platforms). A va_list of AAPCS64 whose
   register areas are used up reads just such slots, doubles too. */
#if defined(__aarch64__)
typedef struct {
    void *stack, *general_top, *vector_top;
    int general_offset, vector_offset;
} Aapcs64List;
#define MAKE_LIST(list, slots)                                                                                           \
    va_list list;                                                                                                        \
    _Static_assert(sizeof(va_list) == sizeof(Aapcs64List), "va_list of AAPCS64");                                        \
    memcpy(&list, &(Aapcs64List){(void *)(slots), NULL, NULL, 0, 0}, sizeof(list))
#endif

/* Formats of the C API for a system whose `long` has 32 bits. Each writes to `buffer` and returns it; a format that
   doesn't fit into `size` bytes ends the process. The result is never longer than `format`. On macOS, formats are those
   of Linux. */
#if defined(SHIM_WINDOWS)
const char *convert_printf_format(const char *format, char *buffer, size_t size); /* of PyErr_Format ... */
const char *convert_parse_format(const char *format, char *buffer, size_t size);  /* of PyArg_Parse* */
const char *convert_build_format(const char *format, char *buffer, size_t size);  /* of Py_BuildValue ... */
#else
#define convert_printf_format(format, buffer, size) ((void)(buffer), (const char *)(format))
#define convert_parse_format(format, buffer, size) ((void)(buffer), (const char *)(format))
#define convert_build_format(format, buffer, size) ((void)(buffer), (const char *)(format))
#endif

#endif
