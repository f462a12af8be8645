/* XOR of bytes with a repeated 4-byte mask (RFC 6455, section 5.3), for every CPU.

   The widest block is what every CPU of the compiler's target has, but on x86-64, where many have twice that, and
   xor_wide.h asks.
   Memory is read and written by copies of a constant size, which compilers turn into single unaligned
   loads and stores: no cast of a pointer, no call. Where they can't, xor_aligned.h does it otherwise. */

#ifndef TORNADO_SPEEDUPS_XOR_H
#define TORNADO_SPEEDUPS_XOR_H

#include "xor_bytes.h"

#if defined(__riscv) && !defined(__riscv_misaligned_fast)
#include "xor_aligned.h"
#define ONLY_ALIGNED 1
#else
#define ONLY_ALIGNED 0
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#include "xor_wide.h"
#define CAN_BE_WIDE 1
#else
#define CAN_BE_WIDE 0
#endif

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

/* Eight in a row: with four, the speed depended on where the compiler happened to put the loop (2.9 to 3.8
   times that of Tornado's C at 4 KiB, on one x86-64 CPU). */
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

static inline void
xor_8_bytes(unsigned char *to, const unsigned char *from, uint64_t mask)
{
    uint64_t word;
    COPY_CONSTANT_SIZE(&word, from, sizeof word);
    word ^= mask;
    COPY_CONSTANT_SIZE(to, &word, sizeof word);
}

static inline void
xor_4_bytes(unsigned char *to, const unsigned char *from, uint32_t mask)
{
    uint32_t word;
    COPY_CONSTANT_SIZE(&word, from, sizeof word);
    word ^= mask;
    COPY_CONSTANT_SIZE(to, &word, sizeof word);
}

/* The last bytes, fewer than 16. */
static inline void
xor_tail(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    if (length & 8) {
        xor_8_bytes(to, from, (uint64_t)mask << 32 | mask);
        to += 8, from += 8;
    }
    if (length & 4) {
        xor_4_bytes(to, from, mask);
        to += 4, from += 4;
    }
    xor_bytes(to, from, length & 3, mask);
}

/* By blocks that every CPU of the target has. */
static inline void
xor_narrow(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
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

#if CAN_BE_WIDE

static inline void
xor_unaligned_wide(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    size_t done = xor_wide(to, from, length, mask);
    if (done < length) {
        xor_narrow(to + done, from + done, length - done, mask);
    }
}

/* Apart from xor_mask(), so that only who comes here pays for the registers that another convention doesn't keep. Wide
   blocks are loaded faster where they don't lie across cache lines (a sixth of the time of 64 KiB; more than is gained
   where they are stored): before many of them, a few narrow ones are worth it. */
static __attribute__((noinline)) void
xor_mostly_wide(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    if (length < ALIGNMENT_WORTH) {
        xor_unaligned_wide(to, from, length, mask);
        return;
    }
    const size_t first = -(uintptr_t)from & (sizeof(WideBlock) - 1);
    xor_narrow(to, from, first, mask);
    xor_unaligned_wide(to + first, from + first, length - first, turn_mask(mask, first));
}

#endif

/* Write to `to` the XOR of `from` and the mask. The two places are apart, or the same. */
static inline void
xor_mask(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
#if ONLY_ALIGNED
    xor_mask_aligned(to, from, length, mask);
#else
#if CAN_BE_WIDE
    if (are_wide_blocks_worth_it(length)) {
        xor_mostly_wide(to, from, length, mask);
        return;
    }
#endif
    xor_narrow(to, from, length, mask);
#endif
}

/* Ask the CPU, once, before anything is masked; without that, narrow blocks serve. */
static inline void
ask_cpu(void)
{
#if CAN_BE_WIDE
    choose_blocks(has_avx2());
#endif
}

/* Copy without memcpy: by XOR with zeros of which the compiler must not know, or it would call memcpy. */
static inline void
copy_bytes(unsigned char *to, const unsigned char *from, size_t length)
{
    volatile uint32_t zero = 0;
    xor_mask(to, from, length, zero);
}

#endif
