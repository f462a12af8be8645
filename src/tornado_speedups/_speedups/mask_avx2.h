/* XOR with a mask in blocks of 32 bytes, for x86-64 CPUs with AVX2, which the baseline of x86-64 lacks. The CPU is
   asked once, when the module is executed.

   Vector types replace the header of intrinsics, which takes longer to compile than everything else here. */

#ifndef TORNADO_SPEEDUPS_MASK_AVX2_H
#define TORNADO_SPEEDUPS_MASK_AVX2_H

#include <stddef.h>
#include <stdint.h>

/* One calling convention for every system makes this machine code the same, byte for byte, in the wheels for Linux,
   Windows and macOS: a test of one is a test of all. That matters because emulated CPUs may lack AVX2. */
#define AVX2 __attribute__((target("avx2"), sysv_abi, noinline))

enum { AVX2_MIN = 256, AVX2_ALIGN_MIN = 1024 }; /* bytes; with fewer, AVX2 or alignment gains nothing */

typedef uint32_t Avx2Block __attribute__((vector_size(32)));

/* Not part of the module's state, because it is a property of the CPU: every interpreter writes the same. */
static unsigned char use_avx2;

static inline __attribute__((target("avx2"))) Avx2Block
load_avx2_block(const unsigned char *from)
{
    Avx2Block block;
    __builtin_memcpy(&block, from, sizeof block);
    return block;
}

static inline __attribute__((target("avx2"))) void
store_avx2_block(unsigned char *to, Avx2Block block)
{
    __builtin_memcpy(to, &block, sizeof block);
}

/* All are loaded before the first is stored, because a load soon after a store to the same offset in another page
   waits. They are four variables, because GCC keeps an array in memory below -O3, which is fourteen times slower. */
static inline __attribute__((target("avx2"))) void
xor_4_avx2_blocks(unsigned char *to, const unsigned char *from, Avx2Block mask)
{
    const size_t step = sizeof mask;
    Avx2Block first = load_avx2_block(from) ^ mask;
    Avx2Block second = load_avx2_block(from + step) ^ mask;
    Avx2Block third = load_avx2_block(from + 2 * step) ^ mask;
    Avx2Block fourth = load_avx2_block(from + 3 * step) ^ mask;
    store_avx2_block(to, first);
    store_avx2_block(to + step, second);
    store_avx2_block(to + 2 * step, third);
    store_avx2_block(to + 3 * step, fourth);
}

/* Returns how many bytes are done: all but fewer than 32. */
static AVX2 size_t
xor_avx2(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    const Avx2Block wide = {mask, mask, mask, mask, mask, mask, mask, mask};
    const size_t step = sizeof wide;
    size_t done = 0;
    for (; length - done >= 4 * step; done += 4 * step) {
        xor_4_avx2_blocks(to + done, from + done, wide);
    }
    for (; length - done >= step; done += step) {
        store_avx2_block(to + done, load_avx2_block(from + done) ^ wide);
    }
    return done;
}

typedef struct {
    uint32_t eax, ebx, ecx, edx;
} CpuId;

static inline CpuId
cpuid(uint32_t leaf)
{
    CpuId found = {leaf, 0, 0, 0};
    __asm__ volatile("cpuid" : "+a"(found.eax), "=b"(found.ebx), "+c"(found.ecx), "=d"(found.edx));
    return found;
}

/* Return whether the CPU has AVX2, and the system saves the upper halves of its registers: Intel's manual, volume 1,
   14.3 and 14.7.1. */
static int
has_avx2(void)
{
    const uint32_t osxsave_and_avx = 3u << 27, xmm_and_ymm = 6;
    uint32_t low, high;
    if (cpuid(0).eax < 7 || (cpuid(1).ecx & osxsave_and_avx) != osxsave_and_avx) {
        return 0;
    }
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & xmm_and_ymm) == xmm_and_ymm && (cpuid(7).ebx & 1u << 5);
}

static inline void
enable_avx2(int enabled)
{
    __atomic_store_n(&use_avx2, (unsigned char)enabled, __ATOMIC_RELAXED);
}

static inline int
should_use_avx2(size_t length)
{
    return length >= AVX2_MIN && __atomic_load_n(&use_avx2, __ATOMIC_RELAXED);
}

#endif
