// The length of an instruction, and where control goes after it.
#include "CDecoder.h"
#include "OpcodeMaps.h"

typedef struct {
    const uint8_t *bytes;
    size_t available;
    size_t position;
    size_t rip_offset;
    bool operand_size;
    bool address_size;
    bool repeat; // f3
    bool repeat_not; // f2
    bool rex_w;
} reader;

static const cdecoder_shape unknown = {0};

/// Steps over the ModRM byte, SIB byte and displacement; false at the end.
static bool skip_modrm(reader *in, uint8_t *modrm, bool registers_only)
{
    if (in->position >= in->available) {
        return false;
    }
    *modrm = in->bytes[in->position++];
    const uint8_t mode = *modrm >> 6;
    if (registers_only || mode == 3) {
        return true;
    }
    uint8_t base = *modrm & 7;
    if (base == 4) {
        if (in->position >= in->available) {
            return false;
        }
        base = in->bytes[in->position++] & 7;
        if (mode == 0 && base == 5) {
            in->position += 4;
        }
    } else if (mode == 0 && base == 5) {
        in->rip_offset = in->position;
        in->position += 4;
    }
    in->position += mode == 1 ? 1 : mode == 2 ? 4 : 0;
    return true;
}

static cdecoder_shape finish(const reader *in, size_t opcode)
{
    // 15 bytes at most (SDM vol. 2, 2.3.11).
    if (in->position > in->available || in->position > 15) {
        return unknown;
    }
    return (cdecoder_shape){
        .length = (uint8_t)in->position,
        .opcode_offset = (uint8_t)opcode,
        .rip_offset = (uint8_t)in->rip_offset};
}

/// VEX (c4, c5), EVEX (62) and XOP (8f): vector, mask and some general
/// instructions, none of which branches.
static cdecoder_shape look_at_vector(reader *in, size_t start, uint8_t prefix)
{
    static const size_t prefix_sizes[] = {[0] = 3, [1] = 2, [2] = 4};
    const size_t size = prefix_sizes[prefix == 0xc5 ? 1 : prefix == 0x62 ? 2 : 0];
    // Legacy prefixes are invalid before them (SDM vol. 2, 2.3.2).
    if (in->operand_size || in->repeat || in->repeat_not || in->available <= start + size) {
        return unknown;
    }
    const uint8_t payload = in->bytes[start + 1];
    const uint8_t map = prefix == 0xc5 ? 1 : prefix == 0x62 ? payload & 7 : payload & 0x1f;
    const uint8_t opcode = in->bytes[start + size];
    in->position = start + size + 1;
    uint16_t rule = M;
    if (prefix == 0x8f) {
        // XOP maps (AMD APM vol. 4): 8 has an imm8, 9 nothing, 10 an imm32.
        if (map > 10) {
            return unknown;
        }
        rule = map == 8 ? M | B : map == 10 ? M | Z : M;
    } else if (map == 1) {
        rule = (uint16_t)(opcode == 0x77 ? 0 : M | (two_bytes[opcode] & B));
    } else if (map == 3) {
        rule = M | B;
    } else if (map != 2 && !(prefix == 0x62 && (map == 5 || map == 6))) {
        return unknown;
    }
    uint8_t modrm = 0;
    if ((rule & M) != 0 && !skip_modrm(in, &modrm, false)) {
        return unknown;
    }
    in->position += (rule & B) != 0 ? 1 : (rule & Z) != 0 ? 4 : 0;
    return finish(in, start);
}

static size_t immediate_size(const reader *in, uint16_t rule)
{
    size_t size = 0;
    size += (rule & B) != 0 ? 1 : 0;
    size += (rule & W) != 0 ? 2 : 0;
    size += (rule & Z) != 0 ? (in->operand_size && !in->rex_w ? 2 : 4) : 0;
    size += (rule & V) != 0 ? (in->rex_w ? 8 : in->operand_size ? 2 : 4) : 0;
    size += (rule & A) != 0 ? (in->address_size ? 4 : 8) : 0;
    return size;
}

static cdecoder_shape look_at_two_bytes(reader *in, size_t start)
{
    if (in->position >= in->available) {
        return unknown;
    }
    const uint8_t opcode = in->bytes[in->position++];
    uint16_t rule = two_bytes[opcode];
    if (opcode == 0x38 || opcode == 0x3a) {
        if (in->position >= in->available) {
            return unknown;
        }
        in->position++;
        rule = opcode == 0x38 ? M : M | B;
    } else if (rule == X) {
        return unknown;
    }
    uint8_t modrm = 0;
    // mov to and from control and debug registers has no memory form (20 to 23).
    if ((rule & M) != 0 && !skip_modrm(in, &modrm, (opcode & 0xfc) == 0x20)) {
        return unknown;
    }
    // extrq and insertq of SSE4a have two immediates, vmread has none (78).
    const bool extract = opcode == 0x78 && (in->operand_size || in->repeat_not);
    in->position += extract ? 2 : immediate_size(in, rule);
    cdecoder_shape shape = finish(in, start);
    switch (opcode) {
    case 0x05: // syscall
    case 0x34: // sysenter
        shape.flow = CDECODER_INTERRUPT;
        break;
    case 0x01: // vmcall, vmmcall
        shape.flow = modrm == 0xc1 || modrm == 0xd9 ? CDECODER_INTERRUPT : CDECODER_NEXT;
        break;
    case 0x07: // sysret
    case 0x35: // sysexit
        shape.flow = CDECODER_RETURN;
        break;
    case 0x0b: // ud2
    case 0xb9: // ud1
    case 0xff: // ud0
        shape.flow = CDECODER_STOP;
        break;
    case 0x1e:
        shape.endbr64 = in->repeat && modrm == 0xfa;
        break;
    case 0x1f:
        shape.padding = true;
        break;
    default:
        if ((opcode & 0xf0) == 0x80) {
            if (in->operand_size && !in->rex_w) {
                return unknown;
            }
            shape.flow = CDECODER_CONDITIONAL_JUMP;
            shape.relative_size = 4;
        }
    }
    return shape;
}

static void classify(cdecoder_shape *shape, const reader *in, uint8_t opcode, uint8_t modrm)
{
    switch (opcode) {
    case 0xe8:
        shape->flow = CDECODER_CALL;
        shape->relative_size = 4;
        break;
    case 0xe9:
        shape->flow = CDECODER_JUMP;
        shape->relative_size = 4;
        break;
    case 0xeb:
        shape->flow = CDECODER_JUMP;
        shape->relative_size = 1;
        break;
    case 0xc2: case 0xc3: case 0xca: case 0xcb: case 0xcf: // ret, retf, iret
        shape->flow = CDECODER_RETURN;
        break;
    case 0xcc: case 0xcd: case 0xf1: // int3, int, int1
        shape->flow = CDECODER_INTERRUPT;
        shape->padding = opcode == 0xcc;
        break;
    case 0xf4: // hlt
        shape->flow = CDECODER_STOP;
        break;
    case 0xc7: // xbegin: control may come back to its target
        if (modrm == 0xf8) {
            shape->flow = CDECODER_CONDITIONAL_JUMP;
            shape->relative_size = 4;
        }
        break;
    case 0xff:
        switch (modrm >> 3 & 7) {
        case 2: case 3: shape->flow = CDECODER_CALL; break;
        case 4: case 5: shape->flow = CDECODER_JUMP; break;
        default: break;
        }
        break;
    case 0x90: // with f3 it is pause, with REX.B an exchange
        shape->padding = !in->repeat && shape->opcode_offset <= (in->operand_size ? 1 : 0);
        break;
    default: // jcc rel8, loop, jrcxz
        if ((opcode & 0xf0) == 0x70 || (opcode & 0xfc) == 0xe0) {
            shape->flow = CDECODER_CONDITIONAL_JUMP;
            shape->relative_size = 1;
        }
    }
}

static cdecoder_shape look_at_one_byte(reader *in, size_t start, uint8_t opcode)
{
    uint16_t rule = one_byte[opcode];
    if (rule == X) {
        return unknown;
    }
    uint8_t modrm = 0;
    if ((rule & M) != 0 && !skip_modrm(in, &modrm, false)) {
        return unknown;
    }
    // test has an immediate in its group (f6, f7 with reg 0 and 1).
    if ((rule & G) != 0 && (modrm >> 3 & 7) < 2) {
        rule |= opcode == 0xf6 ? B : Z;
    }
    in->position += immediate_size(in, rule);
    cdecoder_shape shape = finish(in, start);
    classify(&shape, in, opcode, modrm);
    // Intel ignores the prefix on a near branch, AMD does not (SDM, "CALL").
    if (shape.relative_size == 4 && in->operand_size && !in->rex_w) {
        return unknown;
    }
    return shape;
}

/// Steps over legacy prefixes and REX; the opcode's first byte is next.
static void skip_prefixes(reader *in)
{
    while (in->position < in->available && in->position < 15) {
        const uint8_t byte = in->bytes[in->position];
        switch (byte) {
        case 0x66: in->operand_size = true; break;
        case 0x67: in->address_size = true; break;
        case 0xf2: in->repeat_not = true; break;
        case 0xf3: in->repeat = true; break;
        case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0xf0: break;
        default:
            if ((byte & 0xf0) == 0x40) {
                in->rex_w = (byte & 8) != 0;
                in->position++;
            }
            return;
        }
        in->position++;
    }
}

cdecoder_shape cdecoder_look(const uint8_t *bytes, size_t available)
{
    reader in = {.bytes = bytes, .available = available};
    skip_prefixes(&in);
    const size_t start = in.position;
    if (start >= available) {
        return unknown;
    }
    const uint8_t opcode = bytes[in.position++];
    cdecoder_shape shape;
    if (opcode == 0x0f) {
        shape = look_at_two_bytes(&in, start);
    } else if (opcode == 0xc4 || opcode == 0xc5 || opcode == 0x62) {
        shape = look_at_vector(&in, start, opcode);
    } else if (opcode == 0x8f && start + 1 < available && (bytes[start + 1] & 0x1f) >= 8) {
        shape = look_at_vector(&in, start, opcode);
    } else {
        shape = look_at_one_byte(&in, start, opcode);
    }
    return shape.length == 0 ? unknown : shape;
}
