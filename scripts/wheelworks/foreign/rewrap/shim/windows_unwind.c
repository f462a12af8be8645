/* Undo a function's prologue by Windows' unwind data (.pdata and .xdata).
   Source: https://learn.microsoft.com/cpp/build/arm64-exception-handling */

#include "windows_unwind.h"

static u32
function_size(const u8 *base, const RuntimeFunction *function)
{
    u32 data = function->unwind;
    return 4 * (data & 3 ? data >> 2 & 0x7FF : *(const u32 *)(base + data) & 0x3FFFF);
}

const RuntimeFunction *
find_function(u64 pc, u8 **base)
{
    const Image *image = find_image((void *)pc);
    *base = image ? image->base : NULL;
    if (image == NULL || image->functions == NULL) {
        return NULL;
    }
    u32 address = (u32)(pc - (u64)image->base);
    size_t low = 0, high = image->functions_size / sizeof(RuntimeFunction);
    while (low < high) { /* the first function that begins behind the address */
        size_t middle = low + (high - low) / 2;
        low = image->functions[middle].begin <= address ? middle + 1 : low;
        high = image->functions[middle].begin <= address ? high : middle;
    }
    const RuntimeFunction *found = low ? &image->functions[low - 1] : NULL;
    return found && address - found->begin < function_size(image->base, found) ? found : NULL;
}

/* ---- registers from the stack; x19 to x30 by number, d8 to d15 ---- */

static u64
read_stack(u64 address)
{
    return *(const u64 *)address;
}

static void
load_general(Context *context, u32 number, u64 address)
{
    u64 value = read_stack(address);
    if (number == 30) {
        context->lr = value;
    } else if (number == 29) {
        context->fp = value;
    } else {
        context->x[number] = value;
    }
}

static void
load_vector(Context *context, u32 number, u64 address)
{
    context->v[number][0] = read_stack(address);
}

/* A return address may be signed: xpaclri, a hint that older CPUs ignore, takes the signature away. */
static u64
strip_signature(u64 address)
{
    register u64 lr __asm__("x30") = address;
    __asm__("hint #7" : "+r"(lr));
    return lr;
}

/* ---- unwind codes ---- */

typedef struct {
    const u8 *code, *end;
    int following; /* pairs that save_next has announced */
    BOOL is_signed;
} Codes;

static u32
take(Codes *codes)
{
    if (codes->code >= codes->end) {
        fail_shim("unwind codes that don't end");
    }
    return *codes->code++;
}

/* A pair, and those that save_next announced: each 16 bytes further. `pop`: bytes of the stack that it freed. */
static void
load_pairs(Context *context, Codes *codes, u32 first, u64 offset, u64 pop, BOOL vector)
{
    for (int i = 0; i <= codes->following; i++) {
        u64 address = context->sp + offset + (u64)i * 16;
        for (u32 j = 0; j < 2; j++) {
            (vector ? load_vector : load_general)(context, first + 2 * (u32)i + j, address + 8 * j);
        }
    }
    codes->following = 0;
    context->sp += pop;
}

static void
load_one(Context *context, u32 number, u64 offset, u64 pop, BOOL vector)
{
    (vector ? load_vector : load_general)(context, number, context->sp + offset);
    context->sp += pop;
}

/* Codes of two bytes, 0xC8 to 0xDE: "xx" is the register, "zz" the offset in units of 8. */
static void
undo_save(Context *context, Codes *codes, u32 word)
{
    u32 x4 = word >> 6 & 15, z6 = word & 63, x3 = word >> 6 & 7, z5 = word & 31;
    u64 offset = 8 * (u64)z6, pop = offset + 8;
    switch (word >> 10) {
    case 0x32: load_pairs(context, codes, 19 + x4, offset, 0, 0); return; /* save_regp */
    case 0x33: load_pairs(context, codes, 19 + x4, 0, pop, 0); return;    /* save_regp_x */
    case 0x34: load_one(context, 19 + x4, offset, 0, 0); return;          /* save_reg */
    case 0x35: break;
    case 0x36:
        load_pairs(context, codes, 8 + x3, word & 0x200 ? 0 : offset, word & 0x200 ? pop : 0, 1);
        return; /* save_fregp */
    case 0x37: break;
    default: end_unsupported(STATUS_EXCEPTION, "the unwind code 0x%04x", word);
    }
    if (word >> 9 == 0x6A) { /* save_reg_x */
        load_one(context, 19 + (word >> 5 & 15), 0, 8 * (u64)z5 + 8, 0);
    } else if (word >> 9 == 0x6B) { /* save_lrpair */
        load_one(context, 19 + 2 * x3, offset, 0, 0);
        load_one(context, 30, offset + 8, 0, 0);
    } else if (word >> 9 == 0x6E) { /* save_freg */
        load_one(context, 8 + x3, offset, 0, 1);
    } else if (word >> 8 == 0xDE) { /* save_freg_x */
        load_one(context, 8 + (word >> 5 & 7), 0, 8 * (u64)z5 + 8, 1);
    } else {
        end_unsupported(STATUS_EXCEPTION, "the unwind code 0x%04x", word);
    }
}

/* Undo one code; returns whether there are more. */
static BOOL
undo_code(Context *context, Codes *codes)
{
    u32 code = take(codes);
    if (code < 0x20) { /* alloc_s */
        context->sp += 16 * (u64)code;
    } else if (code < 0x40) { /* save_r19r20_x */
        load_pairs(context, codes, 19, 0, 8 * (u64)(code & 31), 0);
    } else if (code < 0x80) { /* save_fplr */
        load_one(context, 29, 8 * (u64)(code & 63), 0, 0);
        load_one(context, 30, 8 * (u64)(code & 63) + 8, 0, 0);
    } else if (code < 0xC0) { /* save_fplr_x */
        load_one(context, 29, 0, 0, 0);
        load_one(context, 30, 8, 8 * (u64)(code & 63) + 8, 0);
    } else if (code < 0xC8) { /* alloc_m */
        context->sp += 16 * (u64)((code & 7) << 8 | take(codes));
    } else if (code < 0xDF) {
        undo_save(context, codes, code << 8 | take(codes));
    } else if (code == 0xE0) { /* alloc_l */
        u32 size = take(codes) << 16;
        size |= take(codes) << 8;
        context->sp += 16 * (u64)(size | take(codes));
    } else if (code == 0xE1) { /* set_fp */
        context->sp = context->fp;
    } else if (code == 0xE2) { /* add_fp */
        context->sp = context->fp - 8 * (u64)take(codes);
    } else if (code == 0xE6) { /* save_next */
        codes->following++;
    } else if (code == 0xFC) { /* pac_sign_lr */
        codes->is_signed = 1;
    } else if (code == 0xE4 || code == 0xE5) { /* end, end_c: what follows belongs to the function's main part, too */
        return code == 0xE5;
    } else if (code != 0xE3) { /* nop */
        end_unsupported(STATUS_EXCEPTION, "the unwind code 0x%02x", code);
    }
    return 1;
}

/* ---- packed data: a prologue in the usual form ---- */

typedef struct {
    u32 vector, general, home, chain, size; /* RegF, RegI, H, CR, frame size in units of 16 */
} Packed;

static void
undo_packed(Context *context, u32 data)
{
    Packed one = {data >> 13 & 7, data >> 16 & 15, data >> 20 & 1, data >> 21 & 3, data >> 23};
    BOOL saves_lr = one.chain == 1, chained = one.chain >= 2;
    u32 vectors = one.vector ? one.vector + 1 : 0;
    u64 general_size = 8 * (u64)(one.general + saves_lr);
    u64 saved = (general_size + 8 * vectors + 64 * one.home + 15) & ~(u64)15;
    u64 local = 16 * (u64)one.size - saved;
    if (chained) { /* stp fp, lr, [sp]; mov fp, sp */
        context->sp = context->fp;
        load_one(context, 29, 0, 0, 0);
        load_one(context, 30, 8, 0, 0);
        if (one.chain == 2) {
            context->lr = strip_signature(context->lr);
        }
    }
    context->sp += local;
    for (u32 i = 0; i < one.general; i++) {
        load_one(context, 19 + i, 8 * (u64)i, 0, 0);
    }
    if (saves_lr) {
        load_one(context, 30, 8 * (u64)one.general, 0, 0);
    }
    for (u32 i = 0; i < vectors; i++) {
        load_one(context, 8 + i, general_size + 8 * (u64)i, 0, 1);
    }
    context->sp += saved;
}

/* ---- full data ---- */

/* Walks are from returns of calls, which are never in a prologue or an epilogue: all of the prologue is undone. */
static LanguageHandler *
undo_full(u8 *base, u32 address, Context *context, void **handler_data)
{
    const u32 *word = (const u32 *)(base + address);
    u32 header = *word++, epilogs = header >> 22 & 31, code_words = header >> 27;
    BOOL has_handler = header >> 20 & 1, one_epilog = header >> 21 & 1;
    if (epilogs == 0 && code_words == 0) {
        epilogs = *word & 0xFFFF;
        code_words = *word++ >> 16 & 0xFF;
    }
    word += one_epilog ? 0 : epilogs;
    Codes codes = {(const u8 *)word, (const u8 *)(word + code_words), 0, 0};
    while (undo_code(context, &codes)) {
    }
    if (codes.is_signed) {
        context->lr = strip_signature(context->lr);
    }
    word += code_words;
    *handler_data = has_handler ? (void *)(word + 1) : NULL;
    return has_handler ? (LanguageHandler *)(base + *word) : NULL;
}

LanguageHandler *
unwind_function(u8 *base, const RuntimeFunction *function, Context *context, void **handler_data)
{
    LanguageHandler *handler = NULL;
    *handler_data = NULL;
    if (function != NULL && function->unwind & 3) {
        undo_packed(context, function->unwind);
    } else if (function != NULL) {
        handler = undo_full(base, function->unwind, context, handler_data);
    }
    context->pc = context->lr; /* a function without data keeps nothing on the stack */
    return handler;
}

/* ---- Windows' own functions for this ---- */

EXPORT(RtlLookupFunctionEntry, const RuntimeFunction *)(u64 pc, u8 **base, void *history)
{
    return find_function(pc, base);
}

EXPORT(RtlVirtualUnwind, LanguageHandler *)
(u32 kind, u8 *base, u64 pc, const RuntimeFunction *function, Context *context, void **data, u64 *frame, void *pointers)
{
    LanguageHandler *handler = unwind_function(base, function, context, data);
    *frame = context->sp;
    return kind ? handler : NULL;
}
