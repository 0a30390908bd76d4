// The search for branches to, and addresses of, a set of addresses.
#include "CDecoder.h"

#include <string.h>

enum {
    NOTHING = 0,
    SHORT_BRANCH, // jcc rel8, loop, jrcxz, jmp rel8
    NEAR_BRANCH, // call rel32, jmp rel32
    TWO_BYTES, // 0f 80 to 0f 8f: jcc rel32
    TRANSACTION, // c7 f8: xbegin rel32
    ADDRESS, // 8d: lea
};

#define S SHORT_BRANCH
#define N NEAR_BRANCH
#define T TWO_BYTES
#define C TRANSACTION
#define L ADDRESS
static const uint8_t classes[256] = {
    /* 00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, T,
    /* 10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 20 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 30 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 40 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 50 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 60 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 70 */ S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S,
    /* 80 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, L, 0, 0,
    /* 90 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* a0 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* b0 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* c0 */ 0, 0, 0, 0, 0, 0, 0, C, 0, 0, 0, 0, 0, 0, 0, 0,
    /* d0 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* e0 */ S, S, S, S, 0, 0, 0, 0, N, N, 0, S, 0, 0, 0, 0,
    /* f0 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};
#undef S
#undef N
#undef T
#undef C
#undef L

static int32_t signed_word(const uint8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline bool is_marked(const cdecoder_search *search, uint64_t address)
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

/// Where the instruction of `length` bytes at `position` leads, by the four
/// bytes with which it ends.
static inline uint64_t near_target(const cdecoder_search *search, size_t position, size_t length)
{
    const int64_t delta = signed_word(search->code.bytes + position + length - 4);
    return search->code.address + position + length + (uint64_t)delta;
}

/// The length of what may be a branch or a lea at `position`, opcode and
/// displacement; 0 for none.
static inline size_t candidate_length(const uint8_t *bytes, size_t rest, uint8_t class)
{
    switch (class) {
    case SHORT_BRANCH:
        return rest >= 2 ? 2 : 0;
    case NEAR_BRANCH:
        return rest >= 5 ? 5 : 0;
    case TWO_BYTES:
        return rest >= 6 && (bytes[1] & 0xf0) == 0x80 ? 6 : 0;
    case TRANSACTION:
        return rest >= 6 && bytes[1] == 0xf8 ? 6 : 0;
    default: // lea with a rip-relative operand
        return rest >= 6 && (bytes[1] & 0xc7) == 0x05 ? 6 : 0;
    }
}

size_t cdecoder_find(
    const cdecoder_search *search, size_t *position, size_t end, cdecoder_found *found,
    size_t capacity)
{
    const uint8_t *const bytes = search->code.bytes;
    const size_t limit = end < search->code.count ? end : search->code.count;
    size_t count = 0;
    size_t at = *position;
    for (; at < limit && count < capacity; at++) {
        const uint8_t class = classes[bytes[at]];
        if (__builtin_expect(class == NOTHING, true)) {
            continue;
        }
        const size_t length = candidate_length(bytes + at, search->code.count - at, class);
        if (length == 0) {
            continue;
        }
        const uint64_t target = class == SHORT_BRANCH
            ? search->code.address + at + 2 + (uint64_t)(int64_t)(int8_t)bytes[at + 1]
            : near_target(search, at, length);
        cdecoder_found hit = {.position = at, .target = target};
        if (is_marked(search, target)) {
            hit.kind = class == ADDRESS ? CDECODER_FOUND_LEA : CDECODER_FOUND_BRANCH;
        } else if (class == ADDRESS && table_leads(search, target, &hit)) {
            hit.kind = CDECODER_FOUND_TABLE;
        } else {
            continue;
        }
        found[count++] = hit;
    }
    *position = at;
    return count;
}
