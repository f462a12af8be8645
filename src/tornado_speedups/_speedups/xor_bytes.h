/* XOR of bytes with a repeated 4-byte mask, one by one: what the quicker ways begin and end with. */

#ifndef TORNADO_SPEEDUPS_XOR_BYTES_H
#define TORNADO_SPEEDUPS_XOR_BYTES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define COPY_CONSTANT_SIZE __builtin_memcpy
#else
#include <string.h>
#define COPY_CONSTANT_SIZE memcpy
#endif

/* A mask is a word in a register, its bytes in memory order: what is stored and loaded again is waited for. */
static inline uint32_t
load_mask(const unsigned char *bytes)
{
    uint32_t mask;
    COPY_CONSTANT_SIZE(&mask, bytes, sizeof mask);
    return mask;
}

/* The mask as it falls on a payload of which `passed` bytes came before. */
static inline uint32_t
turn_mask(uint32_t mask, size_t passed)
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

#endif
