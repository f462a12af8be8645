/* Variadic functions for callers whose variadic arguments don't lie where Linux's functions look for them.

   Linux passes variadic arguments on ARM64 in x0 to x7 and, floating-point ones, in v0 to v7, and then on the stack.
   Windows uses x0 to x7 for all of them, doubles too, and then the stack; Apple uses the stack only. Every argument
   takes 8 bytes on both. Sources: AAPCS64, "Variadic argument lists"; and those at MAKE_LIST in shim.h.

   VARIADIC(name) { ... } exports a function that saves x0 to x7 right below the stack's arguments and calls the body
   with `registers` (the eight registers) and `stack` (the arguments on the stack). On Windows both are one array. Named
   arguments are in `registers`; REST(n) are the variadic arguments after `n` named ones.

   System V's x86-64 ABI is that of macOS too: there, modules call Linux's variadic functions directly. */

#ifndef WHEELWORKS_VARIADIC_H
#define WHEELWORKS_VARIADIC_H

#include "shim.h"

#if defined(__aarch64__)

/* The frame has unwind information, because exceptions of C++ pass through functions such as PyObject_CallFunction. */
#define VARIADIC(name)                                                                                                 \
    __asm__(".text\n"                                                                                                  \
            ".balign 4\n"                                                                                              \
            ".global " PREFIX #name "\n"                                                                               \
            ".type " PREFIX #name ", %function\n"                                                                      \
            PREFIX #name ":\n"                                                                                         \
            ".cfi_startproc\n"                                                                                         \
            "    sub sp, sp, #64\n"                                                                                    \
            "    stp x0, x1, [sp]\n"                                                                                   \
            "    stp x2, x3, [sp, #16]\n"                                                                              \
            "    stp x4, x5, [sp, #32]\n"                                                                              \
            "    stp x6, x7, [sp, #48]\n"                                                                              \
            "    mov x0, sp\n"                                                                                         \
            "    add x1, sp, #64\n"                                                                                    \
            "    stp x29, x30, [sp, #-16]!\n"                                                                          \
            "    .cfi_def_cfa_offset 80\n"                                                                             \
            "    .cfi_offset w29, -80\n"                                                                               \
            "    .cfi_offset w30, -72\n"                                                                               \
            "    mov x29, sp\n"                                                                                        \
            "    .cfi_def_cfa w29, 80\n"                                                                               \
            "    bl call_" #name "\n"                                                                                  \
            "    ldp x29, x30, [sp], #16\n"                                                                            \
            "    add sp, sp, #64\n"                                                                                    \
            "    .cfi_def_cfa wsp, 0\n"                                                                                \
            "    ret\n"                                                                                                \
            ".cfi_endproc\n"                                                                                           \
            ".size " PREFIX #name ", . - " PREFIX #name "\n");                                                         \
    CALLED_BY_ASSEMBLY u64 call_##name(u64 *registers, u64 *stack);                                                    \
    u64 call_##name(u64 *registers, u64 *stack)

#if defined(SHIM_WINDOWS)
#define REST(named) ((void)stack, registers + (named))
#else
#define REST(named) (stack)
#endif

/* A named argument that is a pointer. */
#define POINTER(index) ((void *)registers[index])

/* Sixteen variadic arguments, for a function that has no twin with a va_list: it reads as many as it needs. Those
   beyond the caller's are whatever lies on the stack. */
#define SIXTEEN(slots)                                                                                                 \
    (slots)[0], (slots)[1], (slots)[2], (slots)[3], (slots)[4], (slots)[5], (slots)[6], (slots)[7], (slots)[8],        \
        (slots)[9], (slots)[10], (slots)[11], (slots)[12], (slots)[13], (slots)[14], (slots)[15]

/* Formats of Python's functions, with Linux's widths of integers. A literal in a function's argument lives until its
   block ends. */
#define LONGEST_FORMAT 2048 /* bytes, more than CPython's own formats have */
#define PRINTF_FORMAT(format) convert_printf_format(format, (char[LONGEST_FORMAT]){0}, LONGEST_FORMAT)
#define PARSE_FORMAT(format) convert_parse_format(format, (char[LONGEST_FORMAT]){0}, LONGEST_FORMAT)
#define BUILD_FORMAT(format)                                                                                           \
    ((format) == NULL ? NULL : convert_build_format(format, (char[LONGEST_FORMAT]){0}, LONGEST_FORMAT))

/* A function that not every version of CPython has is declared IF_ANY, and NULL where it is missing. */
#define IF_ANY __attribute__((weak)) extern

static inline void
check_available(const void *function, const char *name)
{
    if (function == NULL) {
        end_unsupported(STATUS_UNRESOLVED_CALL, "the module called %s, which this CPython doesn't have", name);
    }
}
#define CHECK_AVAILABLE(name) check_available((const void *)name, #name)

#endif
#endif
