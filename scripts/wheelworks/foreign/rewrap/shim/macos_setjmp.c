/* setjmp and longjmp: Apple's jmp_buf is smaller than Linux's, 192 bytes on ARM64 and 148 on x86-64, so that Linux's
   functions would write beyond it. The registers are those that a function must keep (AAPCS64; System V's psABI).

   setjmp() saves the signal mask, _setjmp() doesn't, sigsetjmp() is told.
   Source: Apple's <setjmp.h>. */

#include <signal.h>

#include "macos.h"

#if defined(__aarch64__)
enum { REGISTERS = 21, APPLE_SIZE = 192 }; /* x19 to x30, sp, d8 to d15 */
#else
enum { REGISTERS = 8, APPLE_SIZE = 148 }; /* rbx, rbp, r12 to r15, rsp, rip */
#endif

typedef struct {
    u64 registers[REGISTERS];
    u64 mask; /* as the kernel has it: one bit a signal */
    int has_mask;
} JumpBuffer;

_Static_assert(sizeof(JumpBuffer) <= APPLE_SIZE, "a jump buffer fits");

/* Each setjmp ends by a jump to this, with its caller's return address. */
CALLED_BY_ASSEMBLY int end_setjmp(JumpBuffer *buffer, int save_mask);
int
end_setjmp(JumpBuffer *buffer, int save_mask)
{
    sigset_t mask;
    buffer->has_mask = save_mask;
    if (save_mask) {
        pthread_sigmask(SIG_SETMASK, NULL, &mask);
        memcpy(&buffer->mask, &mask, sizeof(buffer->mask));
    }
    return 0;
}

#if defined(__aarch64__)
#define SETJMP(name, set_save_mask)                                                                                    \
    __asm__(".text\n"                                                                                                  \
            ".balign 4\n"                                                                                              \
            ".global m_" name "\n"                                                                                     \
            ".type m_" name ", %function\n"                                                                            \
            "m_" name ":\n"                                                                                            \
            "    stp x19, x20, [x0]\n"                                                                                 \
            "    stp x21, x22, [x0, #16]\n"                                                                            \
            "    stp x23, x24, [x0, #32]\n"                                                                            \
            "    stp x25, x26, [x0, #48]\n"                                                                            \
            "    stp x27, x28, [x0, #64]\n"                                                                            \
            "    stp x29, x30, [x0, #80]\n"                                                                            \
            "    mov x9, sp\n"                                                                                         \
            "    str x9, [x0, #96]\n"                                                                                  \
            "    stp d8, d9, [x0, #104]\n"                                                                             \
            "    stp d10, d11, [x0, #120]\n"                                                                           \
            "    stp d12, d13, [x0, #136]\n"                                                                           \
            "    stp d14, d15, [x0, #152]\n" set_save_mask "    b end_setjmp\n");
SETJMP("setjmp", "    mov w1, #1\n")
SETJMP("_setjmp", "    mov w1, #0\n")
SETJMP("sigsetjmp", "")

__asm__(".text\n"
        ".balign 4\n"
        ".type jump_back, %function\n"
        "jump_back:\n"
        "    ldp x19, x20, [x0]\n"
        "    ldp x21, x22, [x0, #16]\n"
        "    ldp x23, x24, [x0, #32]\n"
        "    ldp x25, x26, [x0, #48]\n"
        "    ldp x27, x28, [x0, #64]\n"
        "    ldp x29, x30, [x0, #80]\n"
        "    ldr x9, [x0, #96]\n"
        "    mov sp, x9\n"
        "    ldp d8, d9, [x0, #104]\n"
        "    ldp d10, d11, [x0, #120]\n"
        "    ldp d12, d13, [x0, #136]\n"
        "    ldp d14, d15, [x0, #152]\n"
        "    mov w0, w1\n"
        "    ret\n");
#else
#define SETJMP(name, set_save_mask)                                                                                    \
    __asm__(".text\n"                                                                                                  \
            ".balign 16\n"                                                                                             \
            ".global m_" name "\n"                                                                                     \
            ".type m_" name ", @function\n"                                                                            \
            "m_" name ":\n"                                                                                            \
            "    movq %rbx, (%rdi)\n"                                                                                  \
            "    movq %rbp, 8(%rdi)\n"                                                                                 \
            "    movq %r12, 16(%rdi)\n"                                                                                \
            "    movq %r13, 24(%rdi)\n"                                                                                \
            "    movq %r14, 32(%rdi)\n"                                                                                \
            "    movq %r15, 40(%rdi)\n"                                                                                \
            "    leaq 8(%rsp), %rax\n" /* the caller's, after the return */                                            \
            "    movq %rax, 48(%rdi)\n"                                                                                \
            "    movq (%rsp), %rax\n"                                                                                  \
            "    movq %rax, 56(%rdi)\n" set_save_mask "    jmp end_setjmp\n");
SETJMP("setjmp", "    movl $1, %esi\n")
SETJMP("_setjmp", "    xorl %esi, %esi\n")
SETJMP("sigsetjmp", "")

__asm__(".text\n"
        ".balign 16\n"
        ".type jump_back, @function\n"
        "jump_back:\n"
        "    movq (%rdi), %rbx\n"
        "    movq 8(%rdi), %rbp\n"
        "    movq 16(%rdi), %r12\n"
        "    movq 24(%rdi), %r13\n"
        "    movq 32(%rdi), %r14\n"
        "    movq 40(%rdi), %r15\n"
        "    movq 48(%rdi), %rsp\n"
        "    movl %esi, %eax\n"
        "    jmpq *56(%rdi)\n");
#endif

__attribute__((noreturn)) void jump_back(JumpBuffer *buffer, int value);

static __attribute__((noreturn)) void
jump(JumpBuffer *buffer, int value)
{
    if (buffer->has_mask) {
        sigset_t mask;
        sigemptyset(&mask);
        memcpy(&mask, &buffer->mask, sizeof(buffer->mask));
        pthread_sigmask(SIG_SETMASK, &mask, NULL);
    }
    jump_back(buffer, value == 0 ? 1 : value);
}

EXPORT(longjmp, void)(JumpBuffer *buffer, int value) { jump(buffer, value); }

EXPORT(_longjmp, void)(JumpBuffer *buffer, int value) { jump(buffer, value); }

EXPORT(siglongjmp, void)(JumpBuffer *buffer, int value) { jump(buffer, value); }
