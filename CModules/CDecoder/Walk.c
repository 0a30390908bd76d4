// Walks through functions. Most instructions lead nowhere, and of those no more than
// the length is worked out.
#include "CDecoder.h"
#include "OpcodeMaps.h"
#include "Words.h"

/// The length of the ModRM byte, SIB byte and displacement, by the ModRM byte; what a
/// SIB byte without a base adds is left out.
static const uint8_t operand_lengths[4][8] = {
    {1, 1, 1, 1, 2, 5, 1, 1},
    {2, 2, 2, 2, 3, 2, 2, 2},
    {5, 5, 5, 5, 6, 5, 5, 5},
    {1, 1, 1, 1, 1, 1, 1, 1},
};

/// The length of an instruction that control goes on behind, be it after a call, and
/// that is no rip-relative lea; 0 where that takes a closer look. 16 bytes are there
/// to be read.
///
/// Without branches as far as that goes: nothing tells the processor which
/// instructions come next.
static inline __attribute__((always_inline)) size_t plain_length(const uint8_t *bytes)
{
    const uint8_t *at = bytes;
    // Of the opcodes of two bytes these are a part, and change no length.
    const bool has_prefix = (*at == 0x66) | (*at == 0xf2) | (*at == 0xf3);
    at += has_prefix;
    const bool has_rex = (*at & 0xf0) == 0x40;
    const unsigned is_wide = has_rex & (*at >> 3);
    at += has_rex;
    const bool has_escape = *at == 0x0f;
    at += has_escape;
    const unsigned opcode = *at++;
    const unsigned rule = has_escape ? two_bytes[opcode] : one_byte[opcode];
    const unsigned allowed = has_escape ? M | B : M | B | Z | V | G;
    const unsigned modrm = at[0];
    const bool is_lea = (opcode == 0x8d) & ((modrm & 0xc7) == 0x05);
    const bool is_xbegin = (opcode == 0xc7) & (modrm == 0xf8);
    if ((rule & ~allowed) | (has_escape ? 0 : has_prefix | is_lea | is_xbegin)) {
        return 0;
    }
    const unsigned lacks_base = ((modrm & 0xc7) == 0x04) & ((at[1] & 7) == 5);
    const unsigned operand = operand_lengths[modrm >> 6][modrm & 7] + lacks_base * 4;
    // test has an immediate in its group (f6, f7 with reg 0 and 1).
    const unsigned is_test = ((rule & G) / G) & ((modrm & 0x30) == 0);
    const unsigned immediate = (rule & B) / B + (rule & Z) / Z * 4
        + ((rule & V) / V * 4 << is_wide) + is_test * (opcode == 0xf6 ? 1 : 4);
    return (size_t)(at - bytes) + (rule & M) * operand + immediate;
}

/// Whether the instruction leads anywhere else than to what stands behind it.
static bool is_lead(
    const cdecoder_shape *shape, const uint8_t *bytes, uint64_t address, cdecoder_lead *lead)
{
    const uint64_t next = address + shape->length;
    *lead = (cdecoder_lead){.from = address};
    switch (shape->flow) {
    case CDECODER_JUMP:
    case CDECODER_CONDITIONAL_JUMP:
        lead->kind = shape->relative_size == 0 ? CDECODER_LEAD_INDIRECT : CDECODER_LEAD_JUMP;
        if (shape->relative_size == 1) {
            lead->target = next + (uint64_t)(int64_t)(int8_t)bytes[shape->length - 1];
        } else if (shape->relative_size == 4) {
            lead->target = next + (uint64_t)(int64_t)signed_word(bytes + shape->length - 4);
        }
        return true;
    case CDECODER_NEXT:
        if (shape->rip_offset == 0 || bytes[shape->opcode_offset] != 0x8d) {
            return false;
        }
        lead->kind = CDECODER_LEAD_ADDRESS;
        lead->target = next + (uint64_t)(int64_t)signed_word(bytes + shape->rip_offset);
        return true;
    default:
        return false;
    }
}

static inline bool stays(const cdecoder_function *in, const cdecoder_lead *lead)
{
    const uint64_t target = lead->target;
    return lead->kind == CDECODER_LEAD_JUMP && target >= in->start && target < in->end
        && !(target >= in->entry_start && target < in->entry_end);
}

static bool falls_through(const cdecoder_shape *shape)
{
    return !shape->padding
        && (shape->flow == CDECODER_NEXT || shape->flow == CDECODER_CONDITIONAL_JUMP);
}

/// A direct jump with no prefix, most of which stay: jcc and jmp. False for any other
/// instruction. 16 bytes are there to be read.
static inline bool is_plain_jump(
    const uint8_t *bytes, uint64_t address, cdecoder_walk_state *state, cdecoder_lead *lead)
{
    int32_t delta;
    size_t length;
    if ((bytes[0] & 0xf0) == 0x70 || bytes[0] == 0xeb) { // rel8
        length = 2;
        delta = (int8_t)bytes[1];
    } else if (bytes[0] == 0x0f && (bytes[1] & 0xf0) == 0x80) { // jcc rel32
        length = 6;
        delta = signed_word(bytes + 2);
    } else if (bytes[0] == 0xe9) { // jmp rel32
        length = 5;
        delta = signed_word(bytes + 1);
    } else {
        return false;
    }
    state->position = address + length;
    if (bytes[0] == 0xeb || bytes[0] == 0xe9) {
        state->run_start = state->position;
    }
    *lead = (cdecoder_lead){
        .kind = CDECODER_LEAD_JUMP,
        .from = address,
        .target = state->position + (uint64_t)(int64_t)delta};
    return true;
}

size_t cdecoder_walk(
    const cdecoder_function *function, cdecoder_walk_state *state, cdecoder_lead *leads,
    size_t capacity)
{
    const cdecoder_region code = function->code;
    cdecoder_walk_state at = *state;
    size_t count = 0;
    while (at.position < function->end && count < capacity) {
        const uint64_t address = at.position;
        const uint64_t offset = address - code.address;
        if (offset >= code.count) {
            break;
        }
        const uint8_t *const bytes = code.bytes + offset;
        const size_t available = code.count - (size_t)offset;
        // The last instruction is looked at for what it leads to.
        if (available > 16 && function->end - address > 16) {
            const size_t length = plain_length(bytes);
            if (length > 0) {
                at.position += length;
                continue;
            }
            if (is_plain_jump(bytes, address, &at, &leads[count])) {
                count += stays(function, &leads[count]) ? 0 : 1;
                continue;
            }
        }
        const cdecoder_shape shape = cdecoder_look(bytes, available);
        if (shape.length == 0) {
            break;
        }
        at.position += shape.length;
        at.falls_through = falls_through(&shape);
        if (is_lead(&shape, bytes, address, &leads[count]) && !stays(function, &leads[count])) {
            if (leads[count].kind == CDECODER_LEAD_INDIRECT) {
                leads[count].target = at.run_start;
            }
            count++;
        }
        if (shape.flow == CDECODER_JUMP || shape.flow == CDECODER_RETURN
            || shape.flow == CDECODER_STOP) {
            at.run_start = at.position;
        }
    }
    *state = at;
    return count;
}
