#include "CDecoder.h"

#include <stdlib.h>
#include <string.h>

struct cdecoder {
    /// With all details.
    csh details;
    /// For people: AT&T syntax. The syntax turns operands around in the details,
    /// so it has a handle of its own.
    csh text;
    cs_insn *instruction;
    cs_insn *formatted;
};

cdecoder *cdecoder_open(void)
{
    cdecoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL) {
        return NULL;
    }
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &decoder->details) != CS_ERR_OK
        || cs_open(CS_ARCH_X86, CS_MODE_64, &decoder->text) != CS_ERR_OK
        || cs_option(decoder->details, CS_OPT_DETAIL, CS_OPT_ON) != CS_ERR_OK
        || cs_option(decoder->text, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT) != CS_ERR_OK) {
        cdecoder_close(decoder);
        return NULL;
    }
    decoder->instruction = cs_malloc(decoder->details);
    decoder->formatted = cs_malloc(decoder->text);
    if (decoder->instruction == NULL || decoder->formatted == NULL) {
        cdecoder_close(decoder);
        return NULL;
    }
    return decoder;
}

void cdecoder_close(cdecoder *decoder)
{
    if (decoder->instruction != NULL) {
        cs_free(decoder->instruction, 1);
    }
    if (decoder->formatted != NULL) {
        cs_free(decoder->formatted, 1);
    }
    if (decoder->details != 0) {
        cs_close(&decoder->details);
    }
    if (decoder->text != 0) {
        cs_close(&decoder->text);
    }
    free(decoder);
}

/// The register's number in a set, or CDECODER_NO_REGISTER.
static uint8_t number(unsigned reg)
{
    switch (reg) {
    case X86_REG_RAX: case X86_REG_EAX: case X86_REG_AX: case X86_REG_AH: case X86_REG_AL:
        return CDECODER_RAX;
    case X86_REG_RCX: case X86_REG_ECX: case X86_REG_CX: case X86_REG_CH: case X86_REG_CL:
        return CDECODER_RCX;
    case X86_REG_RDX: case X86_REG_EDX: case X86_REG_DX: case X86_REG_DH: case X86_REG_DL:
        return CDECODER_RDX;
    case X86_REG_RBX: case X86_REG_EBX: case X86_REG_BX: case X86_REG_BH: case X86_REG_BL:
        return CDECODER_RBX;
    case X86_REG_RSP: case X86_REG_ESP: case X86_REG_SP: case X86_REG_SPL:
        return CDECODER_RSP;
    case X86_REG_RBP: case X86_REG_EBP: case X86_REG_BP: case X86_REG_BPL:
        return CDECODER_RBP;
    case X86_REG_RSI: case X86_REG_ESI: case X86_REG_SI: case X86_REG_SIL:
        return CDECODER_RSI;
    case X86_REG_RDI: case X86_REG_EDI: case X86_REG_DI: case X86_REG_DIL:
        return CDECODER_RDI;
    case X86_REG_RIP: case X86_REG_EIP: case X86_REG_IP:
        return CDECODER_RIP;
    case X86_REG_EFLAGS:
        return CDECODER_FLAGS;
    case X86_REG_INVALID: case X86_REG_EIZ: case X86_REG_RIZ:
        return CDECODER_NO_REGISTER;
    default:
        break;
    }
#define BETWEEN(first, last, base) \
    if (reg >= (first) && reg <= (last)) { \
        return (uint8_t)((base) + (reg - (first))); \
    }
    BETWEEN(X86_REG_R8, X86_REG_R15, CDECODER_R8)
    BETWEEN(X86_REG_R8B, X86_REG_R15B, CDECODER_R8)
    BETWEEN(X86_REG_R8D, X86_REG_R15D, CDECODER_R8)
    BETWEEN(X86_REG_R8W, X86_REG_R15W, CDECODER_R8)
    BETWEEN(X86_REG_K0, X86_REG_K7, CDECODER_K0)
    BETWEEN(X86_REG_XMM0, X86_REG_XMM31, CDECODER_XMM0)
    BETWEEN(X86_REG_YMM0, X86_REG_YMM31, CDECODER_XMM0)
    BETWEEN(X86_REG_ZMM0, X86_REG_ZMM31, CDECODER_XMM0)
#undef BETWEEN
    if ((reg >= X86_REG_MM0 && reg <= X86_REG_MM7) || (reg >= X86_REG_ST0 && reg <= X86_REG_ST7)
        || (reg >= X86_REG_FP0 && reg <= X86_REG_FP7) || reg == X86_REG_FPSW) {
        return CDECODER_X87;
    }
    return CDECODER_SYSTEM;
}

static uint64_t bit(uint8_t reg)
{
    return reg < 64 ? UINT64_C(1) << reg : 0;
}

static bool is_wide(unsigned reg)
{
    return (reg >= X86_REG_YMM0 && reg <= X86_REG_YMM31)
        || (reg >= X86_REG_ZMM0 && reg <= X86_REG_ZMM31);
}

static void take_operand(cdecoder_instruction *to, const cs_x86_op *from)
{
    cdecoder_operand *operand = &to->operands[to->operand_count++];
    // An access that Capstone does not know may be any.
    *operand = (cdecoder_operand){
        .size = from->size,
        .read = from->access == 0 || (from->access & CS_AC_READ) != 0,
        .written = from->access == 0 || (from->access & CS_AC_WRITE) != 0,
        .reg = CDECODER_NO_REGISTER,
        .base = CDECODER_NO_REGISTER,
        .index = CDECODER_NO_REGISTER,
    };
    switch (from->type) {
    case X86_OP_REG:
        operand->kind = CDECODER_REGISTER;
        operand->reg = number(from->reg);
        to->reads |= operand->read ? bit(operand->reg) : 0;
        to->writes |= operand->written ? bit(operand->reg) : 0;
        to->wide |= is_wide(from->reg);
        break;
    case X86_OP_MEM:
        operand->kind = CDECODER_MEMORY;
        operand->base = number(from->mem.base);
        operand->index = number(from->mem.index);
        operand->scale = (uint8_t)from->mem.scale;
        operand->has_segment
            = from->mem.segment == X86_REG_FS || from->mem.segment == X86_REG_GS;
        operand->value = from->mem.disp;
        to->reads |= bit(operand->base) | bit(operand->index);
        to->wide |= is_wide(from->mem.index);
        break;
    default:
        operand->kind = CDECODER_IMMEDIATE;
        operand->read = true;
        operand->written = false;
        operand->value = from->imm;
        break;
    }
}

static const uint64_t all_vectors = UINT64_C(0xffffffff) << CDECODER_XMM0;

/// What Capstone 4's tables leave out.
static void complete_registers(cdecoder_instruction *to, const cs_detail *detail)
{
    switch (to->opcode) {
    case X86_INS_SYSCALL: // SDM vol. 2: rcx and r11 take rip and rflags
        to->writes |= bit(CDECODER_RAX) | bit(CDECODER_RCX) | bit(CDECODER_R11)
            | bit(CDECODER_FLAGS);
        break;
    case X86_INS_INT:
    case X86_INS_SYSENTER:
        to->writes |= bit(CDECODER_RAX);
        break;
    case X86_INS_CMPXCHG:
        to->writes |= bit(CDECODER_RAX) | bit(CDECODER_FLAGS);
        to->writes |= bit(to->operands[0].reg);
        break;
    case X86_INS_XADD:
        to->writes |= bit(CDECODER_FLAGS);
        break;
    case X86_INS_ENTER:
        to->reads |= bit(CDECODER_RSP) | bit(CDECODER_RBP);
        to->writes |= bit(CDECODER_RSP) | bit(CDECODER_RBP);
        break;
    case X86_INS_FXRSTOR: case X86_INS_FXRSTOR64: case X86_INS_XRSTOR: case X86_INS_XRSTOR64:
        to->writes |= all_vectors | bit(CDECODER_X87);
        to->wide = true;
        break;
    case X86_INS_VZEROALL: case X86_INS_VZEROUPPER:
        to->writes |= all_vectors;
        to->wide = true;
        break;
    // Gathers clear their mask as they go.
    case X86_INS_VGATHERDPD: case X86_INS_VGATHERDPS: case X86_INS_VGATHERQPD:
    case X86_INS_VGATHERQPS: case X86_INS_VPGATHERDD: case X86_INS_VPGATHERDQ:
    case X86_INS_VPGATHERQD: case X86_INS_VPGATHERQQ:
        for (uint8_t index = 0; index < to->operand_count; index++) {
            to->writes |= bit(to->operands[index].reg);
        }
        break;
    default:
        break;
    }
    for (uint8_t index = 0; index < detail->groups_count; index++) {
        if (detail->groups[index] == X86_GRP_FPU || detail->groups[index] == X86_GRP_MMX) {
            to->reads |= bit(CDECODER_X87);
            to->writes |= bit(CDECODER_X87);
        }
    }
}

static void take_details(cdecoder *decoder, cdecoder_instruction *to)
{
    const cs_insn *from = decoder->instruction;
    const cs_x86 *x86 = &from->detail->x86;
    to->opcode = (uint16_t)from->id;
    to->displacement_offset = x86->encoding.disp_offset;
    to->displacement_size = x86->encoding.disp_size;
    to->immediate_offset = x86->encoding.imm_offset;
    to->immediate_size = x86->encoding.imm_size;
    cs_regs read;
    cs_regs written;
    uint8_t read_count = 0;
    uint8_t written_count = 0;
    if (cs_regs_access(
            decoder->details, from, read, &read_count, written, &written_count)
        == CS_ERR_OK) {
        for (uint8_t index = 0; index < read_count; index++) {
            to->reads |= bit(number(read[index]));
        }
        for (uint8_t index = 0; index < written_count; index++) {
            to->writes |= bit(number(written[index]));
            to->wide |= is_wide(written[index]);
        }
    }
    for (uint8_t index = 0; index < x86->op_count && index < CDECODER_MAX_OPERANDS; index++) {
        take_operand(to, &x86->operands[index]);
    }
    complete_registers(to, from->detail);
}

/// The displacement with which a direct branch ends.
static int64_t displacement(const uint8_t *bytes, const cdecoder_shape *shape)
{
    if (shape->relative_size == 1) {
        return (int8_t)bytes[shape->length - 1];
    }
    int32_t word;
    memcpy(&word, bytes + shape->length - 4, sizeof word);
    return word;
}

bool cdecoder_decode(
    cdecoder *decoder, const uint8_t *bytes, size_t available, uint64_t address,
    cdecoder_instruction *instruction)
{
    const cdecoder_shape shape = cdecoder_look(bytes, available);
    if (shape.length == 0) {
        return false;
    }
    *instruction = (cdecoder_instruction){
        .address = address,
        .length = shape.length,
        .flow = shape.flow,
        .opcode_offset = shape.opcode_offset,
        .relative_size = shape.relative_size,
        .rip_offset = shape.rip_offset};
    if (shape.relative_size != 0) {
        instruction->has_target = true;
        instruction->target
            = address + shape.length + (uint64_t)displacement(bytes, &shape);
    }
    const uint8_t *cursor = bytes;
    size_t rest = shape.length;
    uint64_t place = address;
    // Capstone 4 does not know all of AVX-512 and CET, and takes some for
    // shorter instructions than they are.
    if (cs_disasm_iter(decoder->details, &cursor, &rest, &place, decoder->instruction)
        && rest == 0) {
        take_details(decoder, instruction);
    } else {
        instruction->opcode = X86_INS_INVALID;
        instruction->wide = true;
        instruction->reads = UINT64_MAX;
        instruction->writes = ~(bit(CDECODER_RSP) | bit(CDECODER_SYSTEM));
    }
    return true;
}

bool cdecoder_format(
    cdecoder *decoder, const uint8_t *bytes, size_t available, uint64_t address, char *text,
    size_t capacity)
{
    const cdecoder_shape shape = cdecoder_look(bytes, available);
    const uint8_t *cursor = bytes;
    size_t rest = shape.length;
    uint64_t place = address;
    if (rest == 0
        || !cs_disasm_iter(decoder->text, &cursor, &rest, &place, decoder->formatted)
        || rest != 0 || capacity == 0) {
        return false;
    }
    const size_t mnemonic = strlen(decoder->formatted->mnemonic);
    const size_t operands = strlen(decoder->formatted->op_str);
    if (mnemonic + operands + 2 > capacity) {
        return false;
    }
    memcpy(text, decoder->formatted->mnemonic, mnemonic);
    text[mnemonic] = operands > 0 ? ' ' : '\0';
    memcpy(text + mnemonic + 1, decoder->formatted->op_str, operands + 1);
    return true;
}
