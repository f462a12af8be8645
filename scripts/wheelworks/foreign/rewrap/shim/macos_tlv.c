/* Thread-local variables. Code finds one by calling the function in the first word of its descriptor, with the
   descriptor as argument; dyld puts _tlv_bootstrap() there. The second word is dyld's: here the rewrapper puts the
   address of the image's record there. The third is the variable's offset in the image's block.

   Each thread gets its block at its first use, and frees it when it ends. Destructors of variables, registered by
   _tlv_atexit(), run before.
   Sources: Apple's <mach-o/loader.h> (S_THREAD_LOCAL_VARIABLES) and dyld's threadLocalHelpers.s: of all registers, only
   the result and x16, x17 (rax on x86-64) may change. */

#include <limits.h>

#include "macos.h"

typedef struct { /* written by the rewrapper */
    const char *first; /* the values that a block starts with: `filled` bytes, zeros up to `size` */
    u64 filled, size;
    u64 key; /* 0, or one more than the key of glibc under which each thread keeps its block */
    u64 alignment;
} Image;

typedef struct {
    void *function;
    Image *image;
    u64 offset;
} Descriptor;

/* What glibc's key holds: it may have to outlive the first rounds of key destructors, since those of other keys may use
   thread-local variables. */
typedef struct {
    char *variables;
    pthread_key_t key;
    int rounds;
} Block;

static void
end_block(void *given)
{
    Block *block = given;
    if (++block->rounds < PTHREAD_DESTRUCTOR_ITERATIONS && pthread_setspecific(block->key, block) == 0) {
        return;
    }
    free(block->variables);
    free(block);
}

static pthread_key_t
open_key(Image *image)
{
    static pthread_mutex_t creating = PTHREAD_MUTEX_INITIALIZER;
    u64 key = __atomic_load_n(&image->key, __ATOMIC_ACQUIRE);
    if (key == 0) {
        pthread_mutex_lock(&creating);
        key = image->key;
        if (key == 0) {
            pthread_key_t made;
            if (pthread_key_create(&made, end_block) != 0) {
                fail_shim("no key left for thread-local variables");
            }
            key = (u64)made + 1;
            __atomic_store_n(&image->key, key, __ATOMIC_RELEASE);
        }
        pthread_mutex_unlock(&creating);
    }
    return key - 1;
}

static Block *
create_block(const Image *image, pthread_key_t key)
{
    size_t alignment = image->alignment < 16 ? 16 : image->alignment;
    size_t size = (image->size + alignment - 1) / alignment * alignment;
    Block *block = malloc(sizeof(*block));
    if (block == NULL || posix_memalign((void **)&block->variables, alignment, size) != 0) {
        fail_shim("no memory for thread-local variables");
    }
    memset(block->variables, 0, size);
    memcpy(block->variables, image->first, image->filled);
    block->key = key;
    block->rounds = 0;
    if (pthread_setspecific(key, block) != 0) {
        fail_shim("no memory for thread-local variables");
    }
    return block;
}

CALLED_BY_ASSEMBLY void *find_variable(const Descriptor *descriptor);
void *
find_variable(const Descriptor *descriptor)
{
    int before = errno;
    pthread_key_t key = open_key(descriptor->image);
    Block *block = pthread_getspecific(key);
    if (block == NULL) {
        block = create_block(descriptor->image, key);
    }
    errno = before;
    return block->variables + descriptor->offset;
}

/* _tlv_bootstrap: call find_variable(), keeping all registers that a C function may change. */
#if defined(__aarch64__)
__asm__(".text\n"
        ".balign 4\n"
        ".global m__tlv_bootstrap\n"
        ".type m__tlv_bootstrap, %function\n"
        "m__tlv_bootstrap:\n"
        ".cfi_startproc\n"
        "    sub sp, sp, #528\n" /* the frame, 15 general registers, flags, 24 vector registers */
        "    stp x29, x30, [sp]\n"
        "    .cfi_def_cfa_offset 528\n"
        "    .cfi_offset w29, -528\n"
        "    .cfi_offset w30, -520\n"
        "    mov x29, sp\n"
        "    stp x1, x2, [sp, #16]\n"
        "    stp x3, x4, [sp, #32]\n"
        "    stp x5, x6, [sp, #48]\n"
        "    stp x7, x8, [sp, #64]\n"
        "    stp x9, x10, [sp, #80]\n"
        "    stp x11, x12, [sp, #96]\n"
        "    stp x13, x14, [sp, #112]\n"
        "    mrs x16, nzcv\n"
        "    stp x15, x16, [sp, #128]\n"
        "    stp q0, q1, [sp, #144]\n"
        "    stp q2, q3, [sp, #176]\n"
        "    stp q4, q5, [sp, #208]\n"
        "    stp q6, q7, [sp, #240]\n"
        "    stp q16, q17, [sp, #272]\n"
        "    stp q18, q19, [sp, #304]\n"
        "    stp q20, q21, [sp, #336]\n"
        "    stp q22, q23, [sp, #368]\n"
        "    stp q24, q25, [sp, #400]\n"
        "    stp q26, q27, [sp, #432]\n"
        "    stp q28, q29, [sp, #464]\n"
        "    stp q30, q31, [sp, #496]\n"
        "    bl find_variable\n"
        "    ldp x1, x2, [sp, #16]\n"
        "    ldp x3, x4, [sp, #32]\n"
        "    ldp x5, x6, [sp, #48]\n"
        "    ldp x7, x8, [sp, #64]\n"
        "    ldp x9, x10, [sp, #80]\n"
        "    ldp x11, x12, [sp, #96]\n"
        "    ldp x13, x14, [sp, #112]\n"
        "    ldp x15, x16, [sp, #128]\n"
        "    msr nzcv, x16\n"
        "    ldp q0, q1, [sp, #144]\n"
        "    ldp q2, q3, [sp, #176]\n"
        "    ldp q4, q5, [sp, #208]\n"
        "    ldp q6, q7, [sp, #240]\n"
        "    ldp q16, q17, [sp, #272]\n"
        "    ldp q18, q19, [sp, #304]\n"
        "    ldp q20, q21, [sp, #336]\n"
        "    ldp q22, q23, [sp, #368]\n"
        "    ldp q24, q25, [sp, #400]\n"
        "    ldp q26, q27, [sp, #432]\n"
        "    ldp q28, q29, [sp, #464]\n"
        "    ldp q30, q31, [sp, #496]\n"
        "    ldp x29, x30, [sp]\n"
        "    add sp, sp, #528\n"
        "    .cfi_def_cfa wsp, 0\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size m__tlv_bootstrap, . - m__tlv_bootstrap\n");
#else
/* Flags aren't kept: no instruction after a call of a function expects them. Vector registers are kept in their whole
   width that SSE has; code that uses AVX must expect that a function changes the upper halves. */
__asm__(".text\n"
        ".balign 16\n"
        ".global m__tlv_bootstrap\n"
        ".type m__tlv_bootstrap, @function\n"
        "m__tlv_bootstrap:\n"
        ".cfi_startproc\n"
        "    pushq %rbp\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset %rbp, -16\n"
        "    movq %rsp, %rbp\n"
        "    .cfi_def_cfa_register %rbp\n"
        "    subq $320, %rsp\n"
        "    andq $-16, %rsp\n"
        "    movq %rcx, (%rsp)\n"
        "    movq %rdx, 8(%rsp)\n"
        "    movq %rsi, 16(%rsp)\n"
        "    movq %rdi, 24(%rsp)\n"
        "    movq %r8, 32(%rsp)\n"
        "    movq %r9, 40(%rsp)\n"
        "    movq %r10, 48(%rsp)\n"
        "    movq %r11, 56(%rsp)\n"
        "    movaps %xmm0, 64(%rsp)\n"
        "    movaps %xmm1, 80(%rsp)\n"
        "    movaps %xmm2, 96(%rsp)\n"
        "    movaps %xmm3, 112(%rsp)\n"
        "    movaps %xmm4, 128(%rsp)\n"
        "    movaps %xmm5, 144(%rsp)\n"
        "    movaps %xmm6, 160(%rsp)\n"
        "    movaps %xmm7, 176(%rsp)\n"
        "    movaps %xmm8, 192(%rsp)\n"
        "    movaps %xmm9, 208(%rsp)\n"
        "    movaps %xmm10, 224(%rsp)\n"
        "    movaps %xmm11, 240(%rsp)\n"
        "    movaps %xmm12, 256(%rsp)\n"
        "    movaps %xmm13, 272(%rsp)\n"
        "    movaps %xmm14, 288(%rsp)\n"
        "    movaps %xmm15, 304(%rsp)\n"
        "    call find_variable\n"
        "    movq (%rsp), %rcx\n"
        "    movq 8(%rsp), %rdx\n"
        "    movq 16(%rsp), %rsi\n"
        "    movq 24(%rsp), %rdi\n"
        "    movq 32(%rsp), %r8\n"
        "    movq 40(%rsp), %r9\n"
        "    movq 48(%rsp), %r10\n"
        "    movq 56(%rsp), %r11\n"
        "    movaps 64(%rsp), %xmm0\n"
        "    movaps 80(%rsp), %xmm1\n"
        "    movaps 96(%rsp), %xmm2\n"
        "    movaps 112(%rsp), %xmm3\n"
        "    movaps 128(%rsp), %xmm4\n"
        "    movaps 144(%rsp), %xmm5\n"
        "    movaps 160(%rsp), %xmm6\n"
        "    movaps 176(%rsp), %xmm7\n"
        "    movaps 192(%rsp), %xmm8\n"
        "    movaps 208(%rsp), %xmm9\n"
        "    movaps 224(%rsp), %xmm10\n"
        "    movaps 240(%rsp), %xmm11\n"
        "    movaps 256(%rsp), %xmm12\n"
        "    movaps 272(%rsp), %xmm13\n"
        "    movaps 288(%rsp), %xmm14\n"
        "    movaps 304(%rsp), %xmm15\n"
        "    leave\n"
        "    .cfi_def_cfa %rsp, 8\n"
        "    retq\n"
        ".cfi_endproc\n"
        ".size m__tlv_bootstrap, . - m__tlv_bootstrap\n");
#endif

/* ---- destructors ---- */

extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;

/* Glibc runs these, the last one first, before it destroys keys; on the main thread, when the process exits. */
EXPORT(_tlv_atexit, void)(void (*destroy)(void *), void *object)
{
    if (__cxa_thread_atexit_impl(destroy, object, &__dso_handle) != 0) {
        fail_shim("no memory for a thread-local variable's destructor");
    }
}
