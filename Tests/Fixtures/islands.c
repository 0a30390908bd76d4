// Functions that have room for a two-byte jump only, each with something or
// nothing near by that the jump can lead to. Fillers keep the cases out of one
// another's reach.
#define FUNCTION(name, body) \
    asm(".text\n.globl " #name "\n.type " #name ",@function\n" #name ":\n" body \
        "\n.size " #name ",.-" #name "\n")
// 200 bytes of xor %eax,%eax (31 c0), and no padding.
#define FILLER(name) FUNCTION(name, ".fill 100,2,0xc031\nret")
// 85 ff, ff cf, 75 fc, c3: the loop leads to byte 2.
#define NEEDY(name) FUNCTION(name, "test %edi,%edi\n1: dec %edi\njne 1b\nret")
#define PADDING(count) asm(".fill " #count ",1,0xcc\n")
#define NOPS(count) asm(".fill " #count ",1,0x90\n")

FILLER(filler_1);
NEEDY(nothing_near);

FILLER(filler_2);
NEEDY(before_int3);
PADDING(5);

FILLER(filler_3);
FUNCTION(jumps_away, "jmp nothing_near");
NOPS(5);
NEEDY(behind_nops);

// Nothing proves that the call does not return into the nops.
FILLER(filler_4);
FUNCTION(ends_in_call, "call nothing_near");
NOPS(8);
NEEDY(behind_call);

// Zeros may be data.
FILLER(filler_5);
FUNCTION(before_zeros, "xor %eax,%eax\nxor %edx,%edx\nret");
asm(".fill 8,1,0\n");
NEEDY(behind_zeros);

// A branch leads into the nops, which leaves three and four.
FILLER(filler_6);
FUNCTION(before_branch, "xor %eax,%eax\nxor %edx,%edx\nret");
NOPS(8);
NEEDY(behind_branched);
FUNCTION(branches_there, "test %edi,%edi\nje behind_branched-5\nret");

// A pointer leads into the nops.
FILLER(filler_7);
FUNCTION(before_pointer, "xor %eax,%eax\nxor %edx,%edx\nret");
NOPS(8);
NEEDY(behind_pointed);
asm(".data\n.p2align 3\n.quad behind_pointed-5\n.text\n");

// The nops before a loop are executed.
FILLER(filler_8);
FUNCTION(aligned_loop, "xor %eax,%eax\n.fill 8,1,0x90\n1: dec %edi\njne 1b\nret");
NEEDY(behind_loop);

// Room for one.
FILLER(filler_9);
NEEDY(first_of_two);
PADDING(9);
NEEDY(second_of_two);

// Room for both.
FILLER(filler_10);
NEEDY(first_of_both);
PADDING(10);
NEEDY(second_of_both);

// The five-byte site of the short function takes two bytes of padding.
FILLER(filler_11);
FUNCTION(short_one, "xor %eax,%eax\nret");
PADDING(6);
NEEDY(too_little_left);
FILLER(filler_12);
FUNCTION(short_two, "xor %eax,%eax\nret");
PADDING(7);
NEEDY(just_enough_left);

// The site itself lies behind endbr64, or in one byte of padding.
FILLER(filler_13);
FUNCTION(behind_endbr, "endbr64\ntest %edi,%edi\n1: dec %edi\njne 1b\nret");
PADDING(5);
FILLER(filler_14);
FUNCTION(one_byte, "ret");
PADDING(1);
FUNCTION(follows, "xor %eax,%eax\nxor %edx,%edx\nret");
PADDING(5);

// ff d7, 0f 05 and f1: what follows returns to byte 2, 2 and 1.
FILLER(filler_15);
FUNCTION(call_returns, "call *%rdi\nxor %eax,%eax\nret");
FUNCTION(kernel_returns, "syscall\nxor %eax,%eax\nret");
FUNCTION(trap_returns, ".byte 0xf1\nxor %eax,%eax\nret");
PADDING(15);

// The page ends three bytes, one byte and two bytes (66 90) behind the entry, and
// one byte behind the function's end.
#define UP_TO_PAGE_END(name, bytes) \
    asm(".p2align 12\n"); \
    FUNCTION(name, ".fill 4095-" #bytes ",1,0x90\nret")
UP_TO_PAGE_END(first_page, 3);
FUNCTION(across_page, "xor %eax,%eax\nxor %edx,%edx\nxor %ecx,%ecx\nret");
PADDING(5);
UP_TO_PAGE_END(second_page, 1);
FUNCTION(at_last_byte, "push %rbx\npush %rbp\npop %rbp\npop %rbx\nret");
UP_TO_PAGE_END(third_page, 2);
FUNCTION(behind_first_nop, "xchg %ax,%ax\nxor %eax,%eax\nxor %edx,%edx\nxor %ecx,%ecx\nret");
UP_TO_PAGE_END(fourth_page, 8);
NEEDY(before_page_end);
PADDING(6);
FILLER(last_filler);

int main(void) { return 0; }
