/* How an image starts, and the thread's block of Windows (TEB) with its thread-local variables.

   The rewrapper lets glibc's loader call `w_start_image` for each image, and puts a call of `w_teb` before the image's
   uses of x18, which Windows reserves for the TEB. glibc may overwrite x18 at any time, so it is never kept.
   Sources: https://learn.microsoft.com/windows/win32/dlls/dllmain, PE format ("The .tls Section"), winternl.h (TEB). */

#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "windows.h"

enum { PROCESS_ATTACH = 1, THREAD_ATTACH = 2, THREAD_DETACH = 3 };
enum { MAX_IMAGES = 1024 };

typedef struct teb {
    void *exception_list, *stack_base, *stack_limit, *subsystem, *fiber, *arbitrary;
    struct teb *self;
    void *environment;
    u64 process_id, thread_id;
    void *rpc_handle;
    u8 **tls_blocks;        /* 0x58: one for each image with thread-local variables */
    void *peb;              /* 0x60 */
    u8 rest[0x1838 - 0x68]; /* what modules don't look at */
    struct teb *next;       /* ours from here on */
    u32 attached;           /* images whose entry points were called for this thread */
} Teb;
_Static_assert(offsetof(Teb, tls_blocks) == 0x58 && offsetof(Teb, peb) == 0x60, "the layout of winternl.h");

/* As on Windows, one lock serializes all calls of entry points and TLS callbacks; a thread may take it twice. */
static pthread_mutex_t loader_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static const Image *images[MAX_IMAGES];
static u32 image_count;
static Teb *tebs;
static pthread_key_t teb_key; /* its destructor ends the TEB of an ending thread */
CALLED_BY_ASSEMBLY __thread Teb *current_teb __attribute__((tls_model("initial-exec")));
static u64 peb[0x1000 / 8]; /* zeros, but for the versions */

const Image *
find_image(const void *address)
{
    for (u32 i = 0; i < image_count; i++) {
        if ((const u8 *)address >= images[i]->base && (const u8 *)address < images[i]->base + images[i]->size) {
            return images[i];
        }
    }
    return NULL;
}

/* ---- thread-local variables ---- */

static void *
check_memory(void *memory)
{
    if (memory == NULL) {
        fail_shim("no memory for a thread's variables");
    }
    return memory;
}

static void
add_tls_block(Teb *teb, u32 number)
{
    const Image *image = images[number];
    if (image->tls_index == NULL) {
        return;
    }
    u64 alignment = image->tls_alignment < 16 ? 16 : image->tls_alignment;
    u8 *block = check_memory(aligned_alloc(alignment, (image->tls_size + alignment) / alignment * alignment));
    memcpy(block, image->tls_data, image->tls_filled);
    memset(block + image->tls_filled, 0, image->tls_size - image->tls_filled);
    teb->tls_blocks[number] = block;
}

/* ---- entry points ---- */

static BOOL
call_entry(const Image *image, u32 reason)
{
    for (TlsCallback **callback = image->callbacks; callback && *callback; callback++) {
        (*callback)(image->base, reason, NULL);
    }
    return image->entry ? image->entry(image->base, reason, NULL) : 1;
}

/* Called by glibc's loader, after the image was relocated. */
EXPORT(start_image, void)(const Image *image)
{
    pthread_mutex_lock(&loader_lock);
    if (image_count == MAX_IMAGES) {
        fail_shim("more than 1024 images in one process");
    }
    u32 number = image_count;
    images[number] = image;
    if (image->tls_index != NULL) {
        *image->tls_index = number;
    }
    for (Teb *teb = tebs; teb; teb = teb->next) {
        add_tls_block(teb, number);
        teb->attached = number + 1; /* a new image isn't called for threads that exist */
    }
    image_count++;
    BOOL started = call_entry(image, PROCESS_ATTACH);
    pthread_mutex_unlock(&loader_lock);
    if (!started) { /* LoadLibrary would fail, and so the import: the cause may well be what the shim lacks */
        end_unsupported(STATUS_SHIM_FAILED, "the start of %s failed: its DllMain returned FALSE", image->name);
    }
}

static void
attach_thread(Teb *teb)
{
    for (u32 i = 0; i < image_count; i++) {
        if (teb->tls_blocks[i] == NULL) {
            add_tls_block(teb, i);
        }
    }
    while (teb->attached < image_count) {
        call_entry(images[teb->attached++], THREAD_ATTACH);
    }
}

/* ---- the TEB ---- */

static void
set_stack(Teb *teb)
{
    pthread_attr_t attributes;
    void *lowest;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        if (pthread_attr_getstack(&attributes, &lowest, &size) == 0) {
            teb->stack_limit = lowest;
            teb->stack_base = (u8 *)lowest + size;
        }
        pthread_attr_destroy(&attributes);
    }
}

/* Windows calls the entry points where a thread starts; here they are called where a thread first asks for its TEB:
   most threads are Python's own and never do. */
static Teb *
make_teb(void)
{
    Teb *teb = check_memory(calloc(1, sizeof(Teb)));
    teb->self = teb;
    teb->process_id = (u64)getpid();
    teb->thread_id = (u64)syscall(SYS_gettid);
    teb->peb = peb;
    teb->tls_blocks = check_memory(calloc(MAX_IMAGES, sizeof(u8 *)));
    set_stack(teb);
    pthread_mutex_lock(&loader_lock);
    teb->next = tebs;
    tebs = teb;
    current_teb = teb;
    pthread_setspecific(teb_key, teb);
    attach_thread(teb);
    pthread_mutex_unlock(&loader_lock);
    return teb;
}

CALLED_BY_ASSEMBLY Teb *
get_teb(void)
{
    return current_teb ? current_teb : make_teb();
}

static void
end_teb(void *argument)
{
    Teb *teb = argument;
    pthread_mutex_lock(&loader_lock);
    for (u32 i = teb->attached; i > 0; i--) {
        call_entry(images[i - 1], THREAD_DETACH);
    }
    Teb **link = &tebs;
    while (*link != teb) {
        link = &(*link)->next;
    }
    *link = teb->next;
    pthread_mutex_unlock(&loader_lock);
    current_teb = NULL;
    for (u32 i = 0; i < MAX_IMAGES; i++) {
        free(teb->tls_blocks[i]);
    }
    free(teb->tls_blocks);
    free(teb);
}

/* A child process has one thread, and its identifiers are new. */
static void
renew_after_fork(void)
{
    loader_lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    if (current_teb != NULL) {
        current_teb->process_id = (u64)getpid();
        current_teb->thread_id = (u64)syscall(SYS_gettid);
    }
}

/* w_teb: return the TEB in x18, and keep every other register and the flags. */
__asm__(".text\n"
        ".balign 16\n"
        ".global w_teb\n"
        ".type w_teb,%function\n"
        "w_teb:\n"
        "  stp x16, x17, [sp, #-16]!\n"
        "  mrs x16, tpidr_el0\n"
        "  adrp x17, :gottprel:current_teb\n"
        "  ldr x17, [x17, :gottprel_lo12:current_teb]\n"
        "  ldr x18, [x16, x17]\n"
        "  cbz x18, 1f\n"
        "  ldp x16, x17, [sp], #16\n"
        "  ret\n"
        /* The thread's first time: call get_teb() with all that it may change kept. */
        "1:\n"
        "  stp x29, x30, [sp, #-16]!\n"
        "  mov x29, sp\n"
        "  sub sp, sp, #656\n"
        "  stp x0, x1, [sp]\n"
        "  stp x2, x3, [sp, #16]\n"
        "  stp x4, x5, [sp, #32]\n"
        "  stp x6, x7, [sp, #48]\n"
        "  stp x8, x9, [sp, #64]\n"
        "  stp x10, x11, [sp, #80]\n"
        "  stp x12, x13, [sp, #96]\n"
        "  mrs x16, nzcv\n"
        "  stp x14, x15, [sp, #112]\n"
        "  str x16, [sp, #128]\n"
        "  stp q0, q1, [sp, #144]\n"
        "  stp q2, q3, [sp, #176]\n"
        "  stp q4, q5, [sp, #208]\n"
        "  stp q6, q7, [sp, #240]\n"
        "  stp q16, q17, [sp, #272]\n"
        "  stp q18, q19, [sp, #304]\n"
        "  stp q20, q21, [sp, #336]\n"
        "  stp q22, q23, [sp, #368]\n"
        "  stp q24, q25, [sp, #400]\n"
        "  stp q26, q27, [sp, #432]\n"
        "  stp q28, q29, [sp, #464]\n"
        "  stp q30, q31, [sp, #496]\n"
        "  stp q8, q9, [sp, #528]\n"
        "  stp q10, q11, [sp, #560]\n"
        "  stp q12, q13, [sp, #592]\n"
        "  stp q14, q15, [sp, #624]\n"
        "  bl get_teb\n"
        "  mov x18, x0\n"
        "  ldr x16, [sp, #128]\n"
        "  msr nzcv, x16\n"
        "  ldp x0, x1, [sp]\n"
        "  ldp x2, x3, [sp, #16]\n"
        "  ldp x4, x5, [sp, #32]\n"
        "  ldp x6, x7, [sp, #48]\n"
        "  ldp x8, x9, [sp, #64]\n"
        "  ldp x10, x11, [sp, #80]\n"
        "  ldp x12, x13, [sp, #96]\n"
        "  ldp x14, x15, [sp, #112]\n"
        "  ldp q0, q1, [sp, #144]\n"
        "  ldp q2, q3, [sp, #176]\n"
        "  ldp q4, q5, [sp, #208]\n"
        "  ldp q6, q7, [sp, #240]\n"
        "  ldp q16, q17, [sp, #272]\n"
        "  ldp q18, q19, [sp, #304]\n"
        "  ldp q20, q21, [sp, #336]\n"
        "  ldp q22, q23, [sp, #368]\n"
        "  ldp q24, q25, [sp, #400]\n"
        "  ldp q26, q27, [sp, #432]\n"
        "  ldp q28, q29, [sp, #464]\n"
        "  ldp q30, q31, [sp, #496]\n"
        "  ldp q8, q9, [sp, #528]\n"
        "  ldp q10, q11, [sp, #560]\n"
        "  ldp q12, q13, [sp, #592]\n"
        "  ldp q14, q15, [sp, #624]\n"
        "  mov sp, x29\n"
        "  ldp x29, x30, [sp], #16\n"
        "  ldp x16, x17, [sp], #16\n"
        "  ret\n"
        ".size w_teb,.-w_teb\n");

/* ---- what Windows maps into every process: KUSER_SHARED_DATA of ntddk.h, at a fixed address ---- */

enum { SHARED_DATA = 0x7FFE0000, BUILD = 0x260, MAJOR = 0x26C, FEATURES = 0x274, BUILD_NUMBER = 26100 };

/* IsProcessorFeaturePresent()'s numbers: https://learn.microsoft.com/windows/win32/api/processthreadsapi */
static const struct {
    u8 feature;
    u64 capability; /* of AT_HWCAP, asm/hwcap.h */
} features[] = {
    {30, 1 << 3},  /* ARM V8 cryptographic: AES */
    {31, 1 << 7},  /* CRC32 */
    {34, 1 << 8},  /* V8.1 atomics */
    {43, 1 << 20}, /* V8.2 dot product */
    {44, 1 << 13}, /* V8.3 JavaScript conversion */
    {45, 1 << 15}, /* V8.3 LRCPC */
};

EXPORT(IsProcessorFeaturePresent, BOOL)(u32 feature)
{
    if (feature == 29 || feature == 25) { /* V8 instructions, 64-bit loads and stores that are atomic */
        return 1;
    }
    for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++) {
        if (features[i].feature == feature) {
            return (getauxval(AT_HWCAP) & features[i].capability) != 0;
        }
    }
    return 0;
}

static void
map_shared_data(void)
{
    u8 *data = mmap((void *)SHARED_DATA, 4096, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (data != (u8 *)SHARED_DATA) {
        fail_shim("the address of Windows' shared data, 0x7ffe0000, isn't free");
    }
    *(u32 *)(data + BUILD) = BUILD_NUMBER;
    *(u32 *)(data + MAJOR) = 10;
    for (u32 feature = 0; feature < 64; feature++) {
        data[FEATURES + feature] = (u8)w_IsProcessorFeaturePresent(feature);
    }
    mprotect(data, 4096, PROT_READ);
}

__attribute__((constructor)) static void
start_shim(void)
{
    pthread_key_create(&teb_key, end_teb);
    pthread_atfork(NULL, NULL, renew_after_fork);
    *(u32 *)((u8 *)peb + 0x118) = 10;
    *(u16 *)((u8 *)peb + 0x120) = BUILD_NUMBER;
    map_shared_data();
}
