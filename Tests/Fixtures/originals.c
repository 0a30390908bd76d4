// Functions that can, and cannot, be called when a detour stands at their entry.
// Each is named after what it shows; all begin with six bytes that a detour fits
// into.
#define FUNCTION(name, body) \
    asm(".text\n.p2align 4\n.globl " #name "\n.type " #name ",@function\n" #name ":\n" body \
        "\n.size " #name ",.-" #name "\n")
#define ENTRY "push %rbx\nmov $1,%ebx\n"
#define LEAVE "pop %rbx\nret\n"

FUNCTION(plain, ENTRY LEAVE);
FUNCTION(calls_itself, ENTRY "call calls_itself\n" LEAVE);
FUNCTION(loop_behind, ENTRY "1: dec %edi\njne 1b\n" LEAVE);
// Both ends of the loop are moved.
FUNCTION(loop_in_entry, "1: dec %edi\njne 1b\nmov $7,%eax\nret");
FUNCTION(calls_at_its_end, ENTRY "pop %rbx\njmp plain");
FUNCTION(calls_at_its_end_if, ENTRY "pop %rbx\ntest %edi,%edi\nje plain\nret");
FUNCTION(calls_pointer_at_its_end, ENTRY "pop %rbx\nmov 8(%rdi),%rax\njmp *%rax");
FUNCTION(calls_argument_at_its_end, ENTRY "pop %rbx\njmp *%rsi");
FUNCTION(calls_member_at_its_end, ENTRY "pop %rbx\njmp *16(%rdi)");
FUNCTION(calls_result_at_its_end, ENTRY "call plain\npop %rbx\njmp *%rax");
FUNCTION(calls_one_of_two, ENTRY "pop %rbx\nmov (%rdi),%rax\ntest %esi,%esi\n"
    "cmove 8(%rdi),%rax\njmp *%rax");
// What -fPIC makes of a switch.
FUNCTION(switches, ENTRY "lea .Lswitches(%rip),%rdx\nmovslq (%rdx,%rdi,4),%rax\nadd %rdx,%rax\n"
    "notrack jmp *%rax\n1: dec %ebx\n2:" LEAVE
    ".section .rodata\n.p2align 2\n.Lswitches: .long 1b-.Lswitches\n.long 2b-.Lswitches\n.text");
// What GCC makes of it without optimisation.
FUNCTION(switches_in_steps, ENTRY "lea 0(,%rdi,4),%rdx\nlea .Lsteps(%rip),%rax\n"
    "mov (%rdx,%rax),%eax\ncltq\nlea .Lsteps(%rip),%rdx\nadd %rdx,%rax\njmp *%rax\n"
    "1: dec %ebx\n2:" LEAVE
    ".section .rodata\n.p2align 2\n.Lsteps: .long 1b-.Lsteps\n.long 2b-.Lsteps\n.text");
// A list of labels, none of which is the entry, and a pointer to the function.
FUNCTION(goes_to_label, ENTRY "lea .Llabels(%rip),%rdx\njmp *(%rdx,%rdi,8)\n1: dec %ebx\n2:" LEAVE
    ".section .data.rel.ro,\"aw\"\n.p2align 3\n.Llabels: .quad 1b, 2b\n.quad plain\n"
    ".quad goes_to_label\n.quad loop_behind\n.text");
FUNCTION(in_two_parts, ENTRY "test %edi,%edi\nje in_two_parts.cold\n9:" LEAVE
    ".section .text.unlikely,\"ax\"\n.type in_two_parts.cold,@function\nin_two_parts.cold:\n"
    "dec %ebx\njmp 9b\n.size in_two_parts.cold,.-in_two_parts.cold\n.text");

FUNCTION(loops_to_entry, "8: sub $1,%rdi\nmov $1,%eax\njne 8b\nret");
FUNCTION(loops_to_endbr, "endbr64\nsub $1,%rdi\nmov $1,%eax\njne loops_to_endbr\nret");
FUNCTION(loops_to_nop, "nop\nnop\nsub $1,%rdi\nmov $1,%eax\njne loops_to_nop\nret");
FUNCTION(part_jumps_back, "7: sub $1,%rdi\nmov $1,%eax\nje part_jumps_back.cold\nret\n"
    ".section .text.unlikely,\"ax\"\n.type part_jumps_back.cold,@function\npart_jumps_back.cold:\n"
    "dec %edi\njmp 7b\n.size part_jumps_back.cold,.-part_jumps_back.cold\n.text");
// It goes on in the middle of another function, from where it comes back.
FUNCTION(shares_code, ENTRY "jmp 6f\nud2");
FUNCTION(shared_code, ENTRY "6: test %edi,%edi\njs shares_code\n" LEAVE);
// It goes on in the function behind it.
FUNCTION(falls_through, ENTRY "nop\nmov %edi,%eax");
asm(".globl fallen_into\n.type fallen_into,@function\nfallen_into: test %edi,%edi\n"
    "js falls_through\n" LEAVE ".size fallen_into,.-fallen_into\n");
// The part that stands apart, which only an unwinder enters, has the switch.
FUNCTION(part_switches_back, ENTRY "mov %edi,%eax\n" LEAVE
    ".section .text.unlikely,\"ax\"\n.type part_switches_back.cold,@function\n"
    "part_switches_back.cold: lea .Lpart(%rip),%rdx\nmovslq (%rdx,%rdi,4),%rax\n"
    "add %rdx,%rax\njmp *%rax\n.size part_switches_back.cold,.-part_switches_back.cold\n"
    ".section .rodata\n.p2align 2\n.Lpart: .long part_switches_back-.Lpart\n.text");
FUNCTION(switches_to_entry, "5: sub $1,%rdi\nmov $1,%eax\nlea .Lback(%rip),%rdx\n"
    "movslq (%rdx,%rdi,4),%rax\nadd %rdx,%rax\njmp *%rax\n4: ret\n"
    ".section .rodata\n.p2align 2\n.Lback: .long 4b-.Lback\n.long 5b-.Lback\n.text");
FUNCTION(label_at_entry, "3: sub $1,%rdi\nmov $1,%eax\nlea .Llist(%rip),%rdx\n"
    "jmp *(%rdx,%rdi,8)\n2: ret\n"
    ".section .data.rel.ro,\"aw\"\n.p2align 3\n.Llist: .quad 2b, 3b\n.text");
FUNCTION(takes_own_address, "sub $1,%rdi\nmov $1,%eax\nlea takes_own_address(%rip),%rdx\n"
    "jmp *%rdx");
FUNCTION(computes, ENTRY "lea (%rdi,%rsi,8),%rax\npop %rbx\njmp *%rax");
FUNCTION(demangles, ENTRY "pop %rbx\nror $17,%rdi\nxor %fs:48,%rdi\njmp *%rdi");
FUNCTION(adds_what_is_no_entry, ENTRY "pop %rbx\nadd %rsi,%rdi\njmp *%rdi");
FUNCTION(not_decodable, ENTRY LEAVE ".byte 0x06");
FUNCTION(jumps_into_padding, ENTRY "pop %rbx\njmp 1f\n");
asm(".skip 5\n1: ret\n.p2align 4\n");
FUNCTION(asks_where_it_is, "call 1f\n1: pop %rax\nret");
FUNCTION(too_short, "1: ret");
asm(".globl behind_too_short\n.type behind_too_short,@function\nbehind_too_short: ret\n");

int main(void) { return 0; }
