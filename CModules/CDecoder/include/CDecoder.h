// x86-64 instructions, at two depths.
//
// cdecoder_shape tells in some nanoseconds how long an instruction is and
// whether control leaves it: enough to walk through a function and to judge its
// entry. cdecoder_decode asks Capstone, and tells all: operands, registers.
// Neither is believed alone: the tests hold the two against each other.
#pragma once
#include <capstone/capstone.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// Where control goes after an instruction.
typedef enum {
    CDECODER_NEXT = 0,
    CDECODER_JUMP,
    CDECODER_CONDITIONAL_JUMP,
    CDECODER_CALL,
    CDECODER_RETURN,
    /// int, int3, syscall, sysenter, vmcall: the kernel or a handler returns
    /// behind it.
    CDECODER_INTERRUPT,
    /// ud2, hlt: control does not go on.
    CDECODER_STOP,
} cdecoder_flow;

/// What the bytes of an instruction say without a look at its operands.
typedef struct {
    /// 1 to 15; 0 where no instruction is known to start here.
    uint8_t length;
    /// A cdecoder_flow.
    uint8_t flow;
    /// Where the opcode stands, behind the prefixes.
    uint8_t opcode_offset;
    /// The size of the displacement with which a branch ends; 0 where it is not
    /// a direct branch.
    uint8_t relative_size;
    /// Where the displacement of an operand stands whose base is rip, always of
    /// four bytes; 0 where there is none.
    uint8_t rip_offset;
    /// A nop of any length, or int3: what linkers and compilers pad with.
    bool padding;
    bool endbr64;
} cdecoder_shape;

/// Looks at the instruction at `bytes`, of which `available` may be read. What
/// Intel and AMD decode differently (a near branch with an operand size prefix)
/// counts as unknown.
cdecoder_shape cdecoder_look(const uint8_t *bytes, size_t available);

// A walk through a function, for whatever could lead out of it or to its entry.

typedef enum {
    /// A direct jump.
    CDECODER_LEAD_JUMP,
    /// A jump to where a register or the memory says.
    CDECODER_LEAD_INDIRECT,
    /// lea of a rip-relative address.
    CDECODER_LEAD_ADDRESS,
} cdecoder_lead_kind;

typedef struct {
    /// The instruction.
    uint64_t from;
    /// Where it leads, or what it takes the address of; of an indirect jump, where the
    /// instructions start through which control comes to it, one after the other.
    uint64_t target;
    /// A cdecoder_lead_kind.
    uint32_t kind;
} cdecoder_lead;

/// Bytes of code, and their address.
typedef struct {
    const uint8_t *bytes;
    size_t count;
    uint64_t address;
} cdecoder_region;

typedef struct {
    cdecoder_region code;
    /// The function, behind its last byte too.
    uint64_t start;
    uint64_t end;
    /// Direct jumps that stay in the function are left out, but for those to here.
    uint64_t entry_start;
    uint64_t entry_end;
} cdecoder_function;

typedef struct {
    /// Where to go on: at first the function's start.
    uint64_t position;
    /// Behind the last jump or return that nothing falls through; at first the
    /// function's start.
    uint64_t run_start;
    /// Whether the function's last instruction goes on to what stands behind it:
    /// calls and padding do not.
    bool falls_through;
} cdecoder_walk_state;

/// Looks at one instruction after the other, up to the end of the function or to
/// where none is known to start. Fills at most `capacity` of `leads` and returns how
/// many; where that is `capacity`, there may be more.
size_t cdecoder_walk(
    const cdecoder_function *function, cdecoder_walk_state *state, cdecoder_lead *leads,
    size_t capacity);

// Registers, in bits of a set. General registers have their number in the
// encoding (rax 0, rcx 1, rdx 2, rbx 3, rsp 4, rbp 5, rsi 6, rdi 7, r8 to r15),
// whatever part of one is named.
enum {
    CDECODER_RAX = 0,
    CDECODER_RCX = 1,
    CDECODER_RDX = 2,
    CDECODER_RBX = 3,
    CDECODER_RSP = 4,
    CDECODER_RBP = 5,
    CDECODER_RSI = 6,
    CDECODER_RDI = 7,
    CDECODER_R8 = 8,
    CDECODER_R11 = 11,
    CDECODER_R15 = 15,
    CDECODER_FLAGS = 16,
    /// The x87 and MMX registers, and their status.
    CDECODER_X87 = 17,
    /// Segment, control, debug and bound registers.
    CDECODER_SYSTEM = 18,
    /// k0 to k7: 24 to 31.
    CDECODER_K0 = 24,
    /// xmm0 to xmm31: 32 to 63, with their wider forms.
    CDECODER_XMM0 = 32,
    CDECODER_NO_REGISTER = 0xff,
    /// The instruction pointer, as a base.
    CDECODER_RIP = 0xfe,
};

typedef enum {
    CDECODER_REGISTER = 1,
    CDECODER_IMMEDIATE,
    CDECODER_MEMORY,
} cdecoder_operand_kind;

typedef struct {
    /// A cdecoder_operand_kind.
    uint8_t kind;
    /// Bytes.
    uint8_t size;
    bool read;
    bool written;
    /// Of a register operand: its number in a set.
    uint8_t reg;
    /// Of a memory operand: numbers in a set, CDECODER_RIP or
    /// CDECODER_NO_REGISTER. An index may be a vector register.
    uint8_t base;
    uint8_t index;
    uint8_t scale;
    /// Whether fs or gs is added.
    bool has_segment;
    /// An immediate, or a memory operand's displacement.
    int64_t value;
} cdecoder_operand;

enum { CDECODER_MAX_OPERANDS = 5 };

typedef struct {
    uint64_t address;
    /// Capstone's number of the operation, X86_INS_…; X86_INS_INVALID where only
    /// the length is known.
    uint16_t opcode;
    uint8_t length;
    /// A cdecoder_flow.
    uint8_t flow;
    uint8_t operand_count;
    /// Whether `target` is the target of a direct branch.
    bool has_target;
    /// Whether a register is used in a form of more than 128 bits.
    bool wide;
    /// As in cdecoder_shape, so known of every instruction.
    uint8_t opcode_offset;
    uint8_t relative_size;
    uint8_t rip_offset;
    /// Where, by Capstone, the displacement and the immediate stand, and how many
    /// bytes they take; a size of 0 for none.
    uint8_t displacement_offset;
    uint8_t displacement_size;
    uint8_t immediate_offset;
    uint8_t immediate_size;
    uint64_t target;
    /// Register sets, implicit ones included. Where Capstone is not sure, a
    /// register is in both.
    uint64_t reads;
    uint64_t writes;
    cdecoder_operand operands[CDECODER_MAX_OPERANDS];
} cdecoder_instruction;

/// A decoder; used from one thread at a time.
typedef struct cdecoder cdecoder;

/// NULL where memory is short or Capstone was built without x86. To be closed.
cdecoder *_Nullable cdecoder_open(void);
void cdecoder_close(cdecoder *decoder);

/// Decodes the instruction at `bytes`, of which `available` may be read, as if it
/// stood at `address`. False where none is known to start there.
bool cdecoder_decode(
    cdecoder *decoder, const uint8_t *bytes, size_t available, uint64_t address,
    cdecoder_instruction *instruction);

/// Writes the instruction in the syntax of gdb and objdump (AT&T) as a C string of
/// less than `capacity` bytes; false where Capstone does not know it.
bool cdecoder_format(
    cdecoder *decoder, const uint8_t *bytes, size_t available, uint64_t address, char *text,
    size_t capacity);

// The search for whatever could lead to one of a set of addresses.

typedef enum {
    /// A branch with a displacement of 1 or 4 bytes.
    CDECODER_FOUND_BRANCH,
    /// lea of the address.
    CDECODER_FOUND_LEA,
    /// lea of a table whose entry, added to the table's address, is the address.
    CDECODER_FOUND_TABLE,
} cdecoder_found_kind;

typedef struct {
    /// The offset in the code of the opcode's first byte.
    uint64_t position;
    /// The marked address.
    uint64_t target;
    /// The table's address and the entry's number, of CDECODER_FOUND_TABLE.
    uint64_t table;
    uint32_t entry;
    /// A cdecoder_found_kind.
    uint32_t kind;
} cdecoder_found;

typedef struct {
    cdecoder_region code;
    /// Read-only bytes that tables may lie in.
    const cdecoder_region *_Nullable tables;
    size_t table_count;
    /// Bit n says whether `marks_address` + n is asked for; `marks_count` bits.
    const uint64_t *marks;
    uint64_t marks_address;
    uint64_t marks_count;
    /// Bit n says whether an address of n modulo 64 is asked for at all: most
    /// displacements are settled by this, without a look at the marks.
    uint64_t residues;
} cdecoder_search;

/// Looks at every offset of the code from `*position` up to `end`, whether an
/// instruction starts there or not, so that nothing is missed; the caller sorts
/// out what is none. Fills at most `capacity` of `found`, which has to be 16 at
/// least, returns how many, and leaves in `*position` where to go on.
size_t cdecoder_find(
    const cdecoder_search *search, size_t *position, size_t end, cdecoder_found *found,
    size_t capacity);

#pragma clang assume_nonnull end
