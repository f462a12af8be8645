/* Compare xor_mask with the definition of RFC 6455, for many lengths and alignments, apart and in place.

   Compiled and run by test_mask_on_cpus.py for each CPU. Exit status 0: equal everywhere, and no byte outside
   the destination was written. */

#include <stdio.h>
#include <string.h>

#include "mask.h"

enum { LONGEST = 1400, MARGIN = 32, ROOM = LONGEST + 2 * MARGIN };

static int
differs(const unsigned char *whole, size_t start, const unsigned char *from, size_t length, const unsigned char *mask)
{
    for (size_t i = 0; i < ROOM; i++) {
        int inside = i >= start && i - start < length;
        unsigned char expected = inside ? from[i - start] ^ mask[(i - start) % 4] : 0xA5;
        if (whole[i] != expected) {
            return 1;
        }
    }
    return 0;
}

static int
fails(const unsigned char *from, size_t start, size_t length, const unsigned char *mask)
{
    unsigned char apart[ROOM], in_place[ROOM];
    memset(apart, 0xA5, sizeof apart);
    xor_mask(apart + start, from, length, load_mask(mask));
    memset(in_place, 0xA5, sizeof in_place);
    memcpy(in_place + start, from, length);
    xor_mask(in_place + start, in_place + start, length, load_mask(mask));
    return differs(apart, start, from, length, mask) || differs(in_place, start, from, length, mask);
}

/* Every length around what the blocks are made of, and each of a few alignments. */
static int
fails_somewhere(void)
{
    unsigned char data[ROOM], masks[8] = {0x37, 0xfa, 0x21, 0x3d, 0x80, 0x01, 0xff, 0x00};
    for (size_t i = 0; i < ROOM; i++) {
        data[i] = (unsigned char)(i * 167 + 13);
    }
    for (size_t length = 0; length <= LONGEST; length++) {
        for (size_t shift = 0; shift <= 32; shift += length < 300 ? 1 : 7) {
            if (fails(data + shift, MARGIN - shift, length, masks + shift % 5)) {
                printf("wrong at length %zu, shift %zu\n", length, shift);
                return 1;
            }
        }
    }
    return 0;
}

int
main(void)
{
    if (fails_somewhere()) {
        return 1;
    }
    printf("equal, in blocks of %zu bytes\n", sizeof(Block));
#if HAS_AVX2_CODE
    detect_cpu();
    if (use_avx2) {
        if (fails_somewhere()) {
            return 1;
        }
        printf("equal, in blocks of %zu bytes\n", sizeof(Avx2Block));
    }
#endif
    return 0;
}
