/* XOR of bytes with a repeated 4-byte mask (RFC 6455, section 5.3), for every CPU.

   The main loop uses the widest block that every CPU of the compiler's target has. mask_avx2.h uses blocks twice as
   wide on the x86-64 CPUs that have them. Memory is read and written by copies of a constant size, which compilers turn
   into single unaligned loads and stores. RISC-V doesn't promise those, and gets code of its own. */

#ifndef TORNADO_SPEEDUPS_MASK_H
#define TORNADO_SPEEDUPS_MASK_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define COPY_CONSTANT_SIZE __builtin_memcpy
#else
#include <string.h>
#define COPY_CONSTANT_SIZE memcpy
#endif

/* Return a mask as a word, its bytes in memory order. Loading it anew after a store would wait for that store. */
static inline uint32_t
load_mask(const unsigned char *bytes)
{
    uint32_t mask;
    COPY_CONSTANT_SIZE(&mask, bytes, sizeof mask);
    return mask;
}

/* Rotate a mask for the rest of a payload after `passed` bytes. */
static inline uint32_t
rotate_mask(uint32_t mask, size_t passed)
{
    const unsigned bits = 8 * (unsigned)(passed & 3);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return mask << bits | mask >> ((32 - bits) & 31);
#else
    return mask >> bits | mask << ((32 - bits) & 31);
#endif
}

static inline void
xor_bytes(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    unsigned char bytes[sizeof mask];
    COPY_CONSTANT_SIZE(bytes, &mask, sizeof bytes);
    for (size_t i = 0; i < length; i++) {
        to[i] = from[i] ^ bytes[i & 3];
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include "mask_avx2.h"
#define HAS_AVX2_CODE 1
#else
#define HAS_AVX2_CODE 0
#endif

#if defined(__riscv) && !defined(__riscv_misaligned_fast)

/* Compilers for RISC-V turn a copy of 8 bytes into 8 loads and 8 stores. Here each word is loaded once and stored once:
   where source and destination are aligned differently, a word is combined from two. */
#define WORD sizeof(uint64_t)

static inline uint64_t
load_word(const unsigned char *from)
{
    uint64_t word;
    __builtin_memcpy(&word, __builtin_assume_aligned(from, WORD), WORD);
    return word;
}

static inline void
store_word(unsigned char *to, uint64_t word)
{
    __builtin_memcpy(__builtin_assume_aligned(to, WORD), &word, WORD);
}

/* Both places are aligned. Returns how many bytes are done. */
static inline size_t
xor_words(unsigned char *to, const unsigned char *from, size_t length, uint64_t mask)
{
    size_t done = 0;
    for (; length - done >= 4 * WORD; done += 4 * WORD) {
        for (size_t i = 0; i < 4 * WORD; i += WORD) {
            store_word(to + done + i, load_word(from + done + i) ^ mask);
        }
    }
    for (; length - done >= WORD; done += WORD) {
        store_word(to + done, load_word(from + done) ^ mask);
    }
    return done;
}

/* `to` is aligned, and `from` isn't. Returns how many bytes are done. Nothing outside `from` is read. */
static inline size_t
xor_shifted_words(unsigned char *to, const unsigned char *from, size_t length, uint64_t mask)
{
    const size_t before = WORD - ((uintptr_t)from & (WORD - 1)); /* the next aligned word */
    const unsigned left = 8 * (unsigned)before, right = 64 - left;
    uint64_t held = 0; /* as many bytes of `from` as `before` says, the first of them lowest */
    size_t done = 0;
    for (size_t i = 0; i < before; i++) {
        held |= (uint64_t)from[i] << 8 * i;
    }
    for (; length - done >= WORD + before; done += WORD) {
        uint64_t next = load_word(from + done + before);
        store_word(to + done, (held | next << left) ^ mask);
        held = next >> right;
    }
    return done;
}

/* As xor_mask() below. Not inlined, because it is long and called from many places. */
static __attribute__((noinline)) void
xor_mask(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    size_t first = -(uintptr_t)to & (WORD - 1);
    if (length < first + 2 * WORD) {
        xor_bytes(to, from, length, mask);
        return;
    }
    xor_bytes(to, from, first, mask);
    to += first, from += first, length -= first;
    mask = rotate_mask(mask, first);
    uint64_t word = (uint64_t)mask << 32 | mask;
    size_t done = (uintptr_t)from & (WORD - 1) ? xor_shifted_words(to, from, length, word)
                                               : xor_words(to, from, length, word);
    xor_bytes(to + done, from + done, length - done, mask);
}

#undef WORD

#else

/* Block: the unit of the main loop. */
#if defined(__SSE2__) || defined(_M_X64)

#include <emmintrin.h>
typedef __m128i Block;
#define BLOCK_REPEAT(mask) _mm_set1_epi32((int)(mask))
#define BLOCK_XOR(a, b) _mm_xor_si128(a, b)

#elif defined(__ARM_NEON) || defined(_M_ARM64)

#include <arm_neon.h>
typedef uint32x4_t Block;
#define BLOCK_REPEAT(mask) vdupq_n_u32(mask)
#define BLOCK_XOR(a, b) veorq_u32(a, b)

#else

typedef uint64_t Block;
#define BLOCK_REPEAT(mask) ((uint64_t)(mask) << 32 | (mask))
#define BLOCK_XOR(a, b) ((a) ^ (b))

#endif

static inline void
xor_block(unsigned char *to, const unsigned char *from, Block mask)
{
    Block block;
    COPY_CONSTANT_SIZE(&block, from, sizeof block);
    block = BLOCK_XOR(block, mask);
    COPY_CONSTANT_SIZE(to, &block, sizeof block);
}

/* Eight in a row: with four, the speed depended on where the compiler put the loop (2.9 to 3.8 times that of Tornado's
   C at 4 KiB, on one x86-64 CPU). */
static inline void
xor_8_blocks(unsigned char *to, const unsigned char *from, Block mask)
{
    const size_t step = sizeof(Block);
    xor_block(to, from, mask);
    xor_block(to + step, from + step, mask);
    xor_block(to + 2 * step, from + 2 * step, mask);
    xor_block(to + 3 * step, from + 3 * step, mask);
    xor_block(to + 4 * step, from + 4 * step, mask);
    xor_block(to + 5 * step, from + 5 * step, mask);
    xor_block(to + 6 * step, from + 6 * step, mask);
    xor_block(to + 7 * step, from + 7 * step, mask);
}

/* The last bytes, fewer than 16. */
static inline void
xor_tail(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    if (length & 8) {
        uint64_t word;
        COPY_CONSTANT_SIZE(&word, from, sizeof word);
        word ^= (uint64_t)mask << 32 | mask;
        COPY_CONSTANT_SIZE(to, &word, sizeof word);
        to += 8, from += 8;
    }
    if (length & 4) {
        uint32_t word;
        COPY_CONSTANT_SIZE(&word, from, sizeof word);
        word ^= mask;
        COPY_CONSTANT_SIZE(to, &word, sizeof word);
        to += 4, from += 4;
    }
    xor_bytes(to, from, length & 3, mask);
}

/* Use blocks that every CPU of the target has. */
static inline void
xor_blocks(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    Block block_mask = BLOCK_REPEAT(mask);
    const size_t step = sizeof(Block);
    for (; length >= 8 * step; length -= 8 * step, to += 8 * step, from += 8 * step) {
        xor_8_blocks(to, from, block_mask);
    }
    for (; length >= step; length -= step, to += step, from += step) {
        xor_block(to, from, block_mask);
    }
    xor_tail(to, from, length, mask);
}

#if HAS_AVX2_CODE

static inline void
xor_unaligned(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    size_t done = xor_avx2(to, from, length, mask);
    if (done < length) {
        xor_blocks(to + done, from + done, length - done, mask);
    }
}

/* Not inlined into xor_mask(), so that only long data pays for saving the registers that another calling convention
   doesn't preserve. Loads that don't cross cache lines save a sixth of the time at 64 KiB, aligned stores save less: so
   a few narrow blocks come first, until the source is aligned. */
static __attribute__((noinline)) void
xor_long(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    if (length < AVX2_ALIGN_MIN) {
        xor_unaligned(to, from, length, mask);
        return;
    }
    const size_t first = -(uintptr_t)from & (sizeof(Avx2Block) - 1);
    xor_blocks(to, from, first, mask);
    xor_unaligned(to + first, from + first, length - first, rotate_mask(mask, first));
}

#endif

/* Write the XOR of `from` and the mask to `to`. The two places are separate or the same. */
static inline void
xor_mask(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
#if HAS_AVX2_CODE
    if (should_use_avx2(length)) {
        xor_long(to, from, length, mask);
        return;
    }
#endif
    xor_blocks(to, from, length, mask);
}

#endif

/* Choose the widest blocks that this CPU has. Until then, narrow ones are used. */
static inline void
detect_cpu(void)
{
#if HAS_AVX2_CODE
    enable_avx2(has_avx2());
#endif
}

/* Copy without memcpy(): by XOR with zeros that are hidden from the compiler, which would call memcpy() otherwise. */
static inline void
copy_bytes(unsigned char *to, const unsigned char *from, size_t length)
{
    volatile uint32_t zero = 0;
    xor_mask(to, from, length, zero);
}

#endif
