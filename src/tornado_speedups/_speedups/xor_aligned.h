/* XOR with a mask where only aligned memory can be read by the word: RISC-V promises no more, so that compilers turn
   a copy of 8 bytes into 8 loads and 8 stores. Here each word is stored once, and loaded once: where the bytes lie
   otherwise than those that they go to, a word is put together of two. */

#ifndef TORNADO_SPEEDUPS_XOR_ALIGNED_H
#define TORNADO_SPEEDUPS_XOR_ALIGNED_H

#include "xor_bytes.h"

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

/* Both places are aligned; returns how many bytes are done. */
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

/* `to` is aligned, and `from` isn't; returns how many bytes are done. Nothing outside of `from` is read. */
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

/* What xor_mask() does. Its length is worth a call: it stands in for a few instructions in many places. */
static __attribute__((noinline)) void
xor_mask_aligned(unsigned char *to, const unsigned char *from, size_t length, uint32_t mask)
{
    size_t first = -(uintptr_t)to & (WORD - 1);
    if (length < first + 2 * WORD) {
        xor_bytes(to, from, length, mask);
        return;
    }
    xor_bytes(to, from, first, mask);
    to += first, from += first, length -= first;
    mask = turn_mask(mask, first);
    uint64_t word = (uint64_t)mask << 32 | mask;
    size_t done = (uintptr_t)from & (WORD - 1) ? xor_shifted_words(to, from, length, word)
                                               : xor_words(to, from, length, word);
    xor_bytes(to + done, from + done, length - done, mask);
}

#undef WORD

#endif
