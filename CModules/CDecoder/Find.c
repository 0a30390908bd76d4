// The search for branches to, and addresses of, a set of addresses.
#include "CDecoder.h"
#include "Words.h"

#include <emmintrin.h>

typedef enum {
    NOTHING = 0,
    /// jcc rel8, loop, jrcxz, jmp rel8.
    SHORT_BRANCH,
    /// call rel32, jmp rel32.
    NEAR_BRANCH,
    /// jcc rel32 (0f 80 to 0f 8f) and xbegin (c7 f8).
    LONG_BRANCH,
    /// lea with a rip-relative operand (8d, ModRM with mode 0 and r/m 5).
    ADDRESS,
} class;

/// What an opcode could be; `next` is the byte behind it.
static inline __attribute__((always_inline)) class classify(uint8_t opcode, uint8_t next)
{
    switch (opcode) {
    case 0x0f:
        return (next & 0xf0) == 0x80 ? LONG_BRANCH : NOTHING;
    case 0xc7:
        return next == 0xf8 ? LONG_BRANCH : NOTHING;
    case 0x8d:
        return (next & 0xc7) == 0x05 ? ADDRESS : NOTHING;
    case 0xe8: case 0xe9:
        return NEAR_BRANCH;
    default:
        return (opcode & 0xf0) == 0x70 || (opcode & 0xfc) == 0xe0 || opcode == 0xeb
            ? SHORT_BRANCH : NOTHING;
    }
}

/// Bit n says that classify(bytes[n], bytes[n + 1]) is not NOTHING, for sixteen
/// bytes; seventeen are read. One byte in eight is, so this is what the search
/// spends its time on.
static inline __attribute__((always_inline)) uint32_t classify_sixteen(const uint8_t *bytes)
{
    const __m128i opcode = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    const __m128i next = _mm_loadu_si128((const __m128i *)(const void *)(bytes + 1));
#define IS(vector, value) _mm_cmpeq_epi8(vector, _mm_set1_epi8((char)(value)))
#define MASKED(vector, mask) _mm_and_si128(vector, _mm_set1_epi8((char)(mask)))
    const __m128i jcc = IS(MASKED(opcode, 0xf0), 0x70);
    const __m128i loop = IS(MASKED(opcode, 0xfc), 0xe0);
    const __m128i near = IS(MASKED(opcode, 0xfe), 0xe8);
    const __m128i jump = IS(opcode, 0xeb);
    const __m128i two = _mm_and_si128(IS(opcode, 0x0f), IS(MASKED(next, 0xf0), 0x80));
    const __m128i begin = _mm_and_si128(IS(opcode, 0xc7), IS(next, 0xf8));
    const __m128i lea = _mm_and_si128(IS(opcode, 0x8d), IS(MASKED(next, 0xc7), 0x05));
#undef IS
#undef MASKED
    const __m128i any = _mm_or_si128(
        _mm_or_si128(_mm_or_si128(jcc, loop), _mm_or_si128(near, jump)),
        _mm_or_si128(_mm_or_si128(two, begin), lea));
    return (uint32_t)_mm_movemask_epi8(any);
}

static inline __attribute__((always_inline)) bool is_marked(const cdecoder_search *search, uint64_t address)
{
    if ((search->residues >> (address & 63) & 1) == 0) {
        return false;
    }
    const uint64_t bit = address - search->marks_address;
    return bit < search->marks_count && (search->marks[bit >> 6] >> (bit & 63) & 1) != 0;
}

/// Whether a table at `address` leads to a marked address before its first
/// entry that leads out of the code, which ends it.
static bool table_leads(const cdecoder_search *search, uint64_t address, cdecoder_found *found)
{
    // Compilers align tables of four-byte entries.
    if ((address & 3) != 0) {
        return false;
    }
    for (size_t index = 0; index < search->table_count; index++) {
        const cdecoder_region *region = &search->tables[index];
        const uint64_t offset = address - region->address;
        if (offset >= region->count) {
            continue;
        }
        const size_t entries = (region->count - (size_t)offset) / 4;
        for (size_t entry = 0; entry < entries && entry <= UINT32_MAX; entry++) {
            const int32_t delta = signed_word(region->bytes + offset + entry * 4);
            const uint64_t target = address + (uint64_t)(int64_t)delta;
            if (target - search->code.address >= search->code.count) {
                return false;
            }
            if (is_marked(search, target)) {
                found->target = target;
                found->table = address;
                found->entry = (uint32_t)entry;
                return true;
            }
        }
        return false;
    }
    return false;
}

/// Looks at one byte; true where `hit` was filled.
static inline __attribute__((always_inline)) bool look(
    const cdecoder_search *search, size_t at, cdecoder_found *hit)
{
    const uint8_t *const bytes = search->code.bytes + at;
    const size_t rest = search->code.count - at;
    const class what = classify(bytes[0], rest > 1 ? bytes[1] : 0);
    static const uint8_t lengths[]
        = {[SHORT_BRANCH] = 2, [NEAR_BRANCH] = 5, [LONG_BRANCH] = 6, [ADDRESS] = 6};
    const size_t length = lengths[what];
    if (what == NOTHING || rest < length) {
        return false;
    }
    const int64_t delta
        = what == SHORT_BRANCH ? (int8_t)bytes[1] : signed_word(bytes + length - 4);
    const uint64_t target = search->code.address + at + length + (uint64_t)delta;
    *hit = (cdecoder_found){.position = at, .target = target};
    if (is_marked(search, target)) {
        hit->kind = what == ADDRESS ? CDECODER_FOUND_LEA : CDECODER_FOUND_BRANCH;
        return true;
    }
    hit->kind = CDECODER_FOUND_TABLE;
    return what == ADDRESS && table_leads(search, target, hit);
}

size_t cdecoder_find(
    const cdecoder_search *search, size_t *position, size_t end, cdecoder_found *found,
    size_t capacity)
{
    const size_t limit = end < search->code.count ? end : search->code.count;
    size_t count = 0;
    size_t at = *position;
    // A block can fill sixteen places.
    while (at < limit && count + 16 <= capacity) {
        if (limit - at > 16) {
            uint32_t bits = classify_sixteen(search->code.bytes + at);
            for (; bits != 0; bits &= bits - 1) {
                const size_t offset = (size_t)__builtin_ctz(bits);
                count += look(search, at + offset, &found[count]) ? 1 : 0;
            }
            at += 16;
        } else {
            count += look(search, at, &found[count]) ? 1 : 0;
            at++;
        }
    }
    *position = at;
    return count;
}
