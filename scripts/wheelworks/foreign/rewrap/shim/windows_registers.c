/* Assembly of exceptions: registers to and from memory, and calls with another function's registers. */

#include "windows_unwind.h"

#define TEXT(line) line "\n"
#define FUNCTION(name) ".balign 16\n.global " name "\n.type " name ",%function\n" name ":\n"
#define HIDDEN(name) ".hidden " name "\n" FUNCTION(name)

/* Store the caller's registers into the CONTEXT at x17; x16 is free. The caller's pc is lr. */
#define CAPTURE                                                                          \
    TEXT("  mov w16, #0x0007")                                                           \
    TEXT("  movk w16, #0x0040, lsl #16") /* CONTEXT_ARM64 | control, integer, vectors */ \
    TEXT("  str w16, [x17]")                                                             \
    TEXT("  mrs x16, nzcv")                                                              \
    TEXT("  str w16, [x17, #4]")                                                         \
    TEXT("  stp x0, x1, [x17, #0x08]")                                                   \
    TEXT("  stp x2, x3, [x17, #0x18]")                                                   \
    TEXT("  stp x4, x5, [x17, #0x28]")                                                   \
    TEXT("  stp x6, x7, [x17, #0x38]")                                                   \
    TEXT("  stp x8, x9, [x17, #0x48]")                                                   \
    TEXT("  stp x10, x11, [x17, #0x58]")                                                 \
    TEXT("  stp x12, x13, [x17, #0x68]")                                                 \
    TEXT("  stp x14, x15, [x17, #0x78]")                                                 \
    TEXT("  stp xzr, xzr, [x17, #0x88]")                                                 \
    TEXT("  stp x18, x19, [x17, #0x98]")                                                 \
    TEXT("  stp x20, x21, [x17, #0xA8]")                                                 \
    TEXT("  stp x22, x23, [x17, #0xB8]")                                                 \
    TEXT("  stp x24, x25, [x17, #0xC8]")                                                 \
    TEXT("  stp x26, x27, [x17, #0xD8]")                                                 \
    TEXT("  stp x28, x29, [x17, #0xE8]")                                                 \
    TEXT("  str x30, [x17, #0xF8]")                                                      \
    TEXT("  str x30, [x17, #0x108]")                                                     \
    TEXT("  add x17, x17, #0x110")                                                       \
    TEXT("  stp q0, q1, [x17]")                                                          \
    TEXT("  stp q2, q3, [x17, #0x20]")                                                   \
    TEXT("  stp q4, q5, [x17, #0x40]")                                                   \
    TEXT("  stp q6, q7, [x17, #0x60]")                                                   \
    TEXT("  stp q8, q9, [x17, #0x80]")                                                   \
    TEXT("  stp q10, q11, [x17, #0xA0]")                                                 \
    TEXT("  stp q12, q13, [x17, #0xC0]")                                                 \
    TEXT("  stp q14, q15, [x17, #0xE0]")                                                 \
    TEXT("  stp q16, q17, [x17, #0x100]")                                                \
    TEXT("  stp q18, q19, [x17, #0x120]")                                                \
    TEXT("  stp q20, q21, [x17, #0x140]")                                                \
    TEXT("  stp q22, q23, [x17, #0x160]")                                                \
    TEXT("  stp q24, q25, [x17, #0x180]")                                                \
    TEXT("  stp q26, q27, [x17, #0x1A0]")                                                \
    TEXT("  stp q28, q29, [x17, #0x1C0]")                                                \
    TEXT("  stp q30, q31, [x17, #0x1E0]")                                                \
    TEXT("  mrs x16, fpcr")                                                              \
    TEXT("  str w16, [x17, #0x200]")                                                     \
    TEXT("  mrs x16, fpsr")                                                              \
    TEXT("  str w16, [x17, #0x204]")

/* A function of Windows that needs its caller's registers: `target` gets them as one more argument, in `argument`. */
#define WITH_CONTEXT(name, argument, target)    \
    __asm__(TEXT(".text")                       \
            FUNCTION(PREFIX name)               \
            TEXT("  sub sp, sp, #0x390")        \
            TEXT("  mov x17, sp")               \
            CAPTURE                             \
            TEXT("  add x16, sp, #0x390")       \
            TEXT("  str x16, [sp, #0x100]")     \
            TEXT("  mov " argument ", sp")      \
            TEXT("  stp x29, x30, [sp, #-16]!") \
            TEXT("  mov x29, sp")               \
            TEXT("  bl " target)                \
            TEXT("  ldp x29, x30, [sp], #16")   \
            TEXT("  add sp, sp, #0x390")        \
            TEXT("  ret"))

WITH_CONTEXT("RaiseException", "x4", "raise_exception");
WITH_CONTEXT("_CxxThrowException", "x2", "throw_exception");
WITH_CONTEXT("RtlUnwindEx", "x6", "unwind_from");

__asm__(TEXT(".text")
        FUNCTION(PREFIX "RtlCaptureContext")
        TEXT("  mov x17, x0")
        CAPTURE
        TEXT("  mov x16, sp")
        TEXT("  str x16, [x0, #0x100]")
        TEXT("  ret"));

/* Go on at a context. x16 and x17 are free where a function was called. */
__asm__(TEXT(".text")
        HIDDEN("restore_context")
        TEXT("  add x17, x0, #0x110")
        TEXT("  ldr w16, [x17, #0x200]")
        TEXT("  msr fpcr, x16")
        TEXT("  ldp q0, q1, [x17]")
        TEXT("  ldp q2, q3, [x17, #0x20]")
        TEXT("  ldp q4, q5, [x17, #0x40]")
        TEXT("  ldp q6, q7, [x17, #0x60]")
        TEXT("  ldp q8, q9, [x17, #0x80]")
        TEXT("  ldp q10, q11, [x17, #0xA0]")
        TEXT("  ldp q12, q13, [x17, #0xC0]")
        TEXT("  ldp q14, q15, [x17, #0xE0]")
        TEXT("  ldp q16, q17, [x17, #0x100]")
        TEXT("  ldp q18, q19, [x17, #0x120]")
        TEXT("  ldp q20, q21, [x17, #0x140]")
        TEXT("  ldp q22, q23, [x17, #0x160]")
        TEXT("  ldp q24, q25, [x17, #0x180]")
        TEXT("  ldp q26, q27, [x17, #0x1A0]")
        TEXT("  ldp q28, q29, [x17, #0x1C0]")
        TEXT("  ldp q30, q31, [x17, #0x1E0]")
        TEXT("  mov x17, x0")
        TEXT("  ldp x2, x3, [x17, #0x18]")
        TEXT("  ldp x4, x5, [x17, #0x28]")
        TEXT("  ldp x6, x7, [x17, #0x38]")
        TEXT("  ldp x8, x9, [x17, #0x48]")
        TEXT("  ldp x10, x11, [x17, #0x58]")
        TEXT("  ldp x12, x13, [x17, #0x68]")
        TEXT("  ldp x14, x15, [x17, #0x78]")
        TEXT("  ldr x19, [x17, #0xA0]")
        TEXT("  ldp x20, x21, [x17, #0xA8]")
        TEXT("  ldp x22, x23, [x17, #0xB8]")
        TEXT("  ldp x24, x25, [x17, #0xC8]")
        TEXT("  ldp x26, x27, [x17, #0xD8]")
        TEXT("  ldp x28, x29, [x17, #0xE8]")
        TEXT("  ldr x30, [x17, #0xF8]")
        TEXT("  ldr x16, [x17, #0x100]")
        TEXT("  ldp x0, x1, [x17, #0x08]")
        TEXT("  ldr x17, [x17, #0x108]")
        TEXT("  mov sp, x16")
        TEXT("  br x17"));

#define SAVE_ALL                         \
    TEXT("  stp x29, x30, [sp, #-160]!") \
    TEXT("  stp x19, x20, [sp, #16]")    \
    TEXT("  stp x21, x22, [sp, #32]")    \
    TEXT("  stp x23, x24, [sp, #48]")    \
    TEXT("  stp x25, x26, [sp, #64]")    \
    TEXT("  stp x27, x28, [sp, #80]")    \
    TEXT("  stp d8, d9, [sp, #96]")      \
    TEXT("  stp d10, d11, [sp, #112]")   \
    TEXT("  stp d12, d13, [sp, #128]")   \
    TEXT("  stp d14, d15, [sp, #144]")
#define LOAD_ALL                       \
    TEXT("  ldp x19, x20, [sp, #16]")  \
    TEXT("  ldp x21, x22, [sp, #32]")  \
    TEXT("  ldp x23, x24, [sp, #48]")  \
    TEXT("  ldp x25, x26, [sp, #64]")  \
    TEXT("  ldp x27, x28, [sp, #80]")  \
    TEXT("  ldp d8, d9, [sp, #96]")    \
    TEXT("  ldp d10, d11, [sp, #112]") \
    TEXT("  ldp d12, d13, [sp, #128]") \
    TEXT("  ldp d14, d15, [sp, #144]") \
    TEXT("  ldp x29, x30, [sp], #160")
/* Load a Nonvolatile that `from` points to. */
#define LOAD_NONVOLATILE(from)               \
    TEXT("  ldp x19, x20, [" from "]")       \
    TEXT("  ldp x21, x22, [" from ", #16]")  \
    TEXT("  ldp x23, x24, [" from ", #32]")  \
    TEXT("  ldp x25, x26, [" from ", #48]")  \
    TEXT("  ldp x27, x28, [" from ", #64]")  \
    TEXT("  ldr x29, [" from ", #80]")       \
    TEXT("  ldp d8, d9, [" from ", #88]")    \
    TEXT("  ldp d10, d11, [" from ", #104]") \
    TEXT("  ldp d12, d13, [" from ", #120]") \
    TEXT("  ldp d14, d15, [" from ", #136]")

/* A block of a function gets that function's registers, and its establisher frame in x1. */
__asm__(TEXT(".text")
        HIDDEN("call_catch")
        SAVE_ALL
        TEXT("  mov x16, x0")
        TEXT("  mov x17, x2")
        LOAD_NONVOLATILE("x17")
        TEXT("  mov x0, x1")
        TEXT("  blr x16")
        TEXT(".global after_catch")
        TEXT(".hidden after_catch")
        TEXT("after_catch:")
        LOAD_ALL
        TEXT("  ret"));
__asm__(TEXT(".text")
        HIDDEN("call_funclet")
        SAVE_ALL
        TEXT("  mov x16, x0")
        TEXT("  mov x17, x3")
        LOAD_NONVOLATILE("x17")
        TEXT("  mov x0, x1")
        TEXT("  mov x1, x2")
        TEXT("  blr x16")
        LOAD_ALL
        TEXT("  ret"));
__asm__(TEXT(".text")
        HIDDEN("call_consolidated")
        TEXT("  stp x29, x30, [sp, #-16]!")
        TEXT("  mov x29, sp")
        TEXT("  mov x16, x0")
        TEXT("  mov x0, x1")
        TEXT("  blr x16")
        TEXT(".global after_consolidated")
        TEXT(".hidden after_consolidated")
        TEXT("after_consolidated:")
        TEXT("  ldp x29, x30, [sp], #16")
        TEXT("  ret"));

EXPORT(RtlRestoreContext, void)(const Context *context, ExceptionRecord *record)
{
    if (record != NULL && record->code == STATUS_UNWIND_CONSOLIDATE) {
        fail_shim("RtlRestoreContext with a function to call");
    }
    restore_context(context);
}

/* setjmp and longjmp of C: _JUMP_BUFFER of setjmp.h {frame, reserved, x19 ... x28, fp, lr, sp, fpcr, fpsr, d8 ... d15}.
   Nothing is unwound: frames between the two have no destructors and __finally blocks, in C. */
__asm__(TEXT(".text")
        FUNCTION(PREFIX "__intrinsic_setjmpex")
        TEXT("  stp x1, xzr, [x0]")
        TEXT("  stp x19, x20, [x0, #0x10]")
        TEXT("  stp x21, x22, [x0, #0x20]")
        TEXT("  stp x23, x24, [x0, #0x30]")
        TEXT("  stp x25, x26, [x0, #0x40]")
        TEXT("  stp x27, x28, [x0, #0x50]")
        TEXT("  stp x29, x30, [x0, #0x60]")
        TEXT("  mov x16, sp")
        TEXT("  str x16, [x0, #0x70]")
        TEXT("  mrs x16, fpcr")
        TEXT("  str w16, [x0, #0x78]")
        TEXT("  stp d8, d9, [x0, #0x80]")
        TEXT("  stp d10, d11, [x0, #0x90]")
        TEXT("  stp d12, d13, [x0, #0xA0]")
        TEXT("  stp d14, d15, [x0, #0xB0]")
        TEXT("  mov w0, #0")
        TEXT("  ret"));
__asm__(TEXT(".text")
        FUNCTION(PREFIX "longjmp")
        TEXT("  ldp x19, x20, [x0, #0x10]")
        TEXT("  ldp x21, x22, [x0, #0x20]")
        TEXT("  ldp x23, x24, [x0, #0x30]")
        TEXT("  ldp x25, x26, [x0, #0x40]")
        TEXT("  ldp x27, x28, [x0, #0x50]")
        TEXT("  ldp x29, x30, [x0, #0x60]")
        TEXT("  ldr x16, [x0, #0x70]")
        TEXT("  mov sp, x16")
        TEXT("  ldr w16, [x0, #0x78]")
        TEXT("  msr fpcr, x16")
        TEXT("  ldp d8, d9, [x0, #0x80]")
        TEXT("  ldp d10, d11, [x0, #0x90]")
        TEXT("  ldp d12, d13, [x0, #0xA0]")
        TEXT("  ldp d14, d15, [x0, #0xB0]")
        TEXT("  cmp w1, #0")
        TEXT("  csinc w0, w1, wzr, ne")
        TEXT("  ret"));
