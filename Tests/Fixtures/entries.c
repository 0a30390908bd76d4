// Function entries of every kind that a judge of entries has to tell apart. Each
// is named after what it shows; the bytes are given where they matter.
#define FUNCTION(name, body) \
    asm(".text\n.p2align 4\n.globl " #name "\n.type " #name ",@function\n" #name ":\n" body \
        "\n.size " #name ",.-" #name "\n")

// push %rbx; the loop leads to byte 1.
FUNCTION(loop_to_byte_one, "push %rbx\n1: dec %edi\njne 1b\npop %rbx\nret");
// The loop leads to the entry itself.
FUNCTION(loop_to_entry, "1: dec %edi\njne 1b\nmov $7,%eax\nret");
// f1: int1 returns to byte 1.
FUNCTION(trap_returns_inside, ".byte 0xf1\nxor %eax,%eax\nret");
// e8 and four bytes: the call returns behind the site.
FUNCTION(call_fills_site, "call loop_to_entry\nxor %eax,%eax\nret");
// 31 c0 c3, and padding up to the next function.
FUNCTION(short_with_padding, "xor %eax,%eax\nret");
FUNCTION(before_too_short, "mov $1,%eax\nmov $2,%edx\nmov $3,%ecx\nret");
asm(".globl too_short\n.type too_short,@function\ntoo_short: ret\n.size too_short,.-too_short\n"
    ".globl behind_too_short\n.type behind_too_short,@function\n"
    "behind_too_short: mov $1,%eax\nret\n.size behind_too_short,.-behind_too_short\n");
FUNCTION(label_inside, "push %rbx\nthe_label: pop %rbx\nadd $5,%eax\nret");
FUNCTION(not_an_instruction, ".byte 0x06\nmov $5,%eax\nret");
// 14 bytes that nothing leads into, with another entry in the middle.
FUNCTION(outer, "mov $1,%eax\nmov $2,%edx\n.globl inner\n.type inner,@function\ninner: "
    "mov $3,%ecx\nmov $4,%eax\nret\n.size inner,.-inner");
asm(".text\n.p2align 4\n.globl without_size\nwithout_size: mov $1,%eax\nmov $2,%edx\nret\n");
FUNCTION(jumped_into, "push %rbx\npush %rbp\npush %r12\npop %r12\npop %rbp\npop %rbx\nret");
FUNCTION(jumps_there, "test %edi,%edi\nje jumped_into+1\nret");
FUNCTION(address_taken, "push %rbx\npush %rbp\nnop\npop %rbp\npop %rbx\nret");
FUNCTION(takes_address, "lea address_taken+1(%rip),%rax\nret");
FUNCTION(pointed_to, "push %rbx\npush %rbp\nnop\npop %rbp\npop %rbx\nret");
asm(".data\n.p2align 3\n.quad pointed_to+1\n.text\n");
// A table of relative addresses, as -fPIC gives a switch.
FUNCTION(table_leads_inside, "push %rbx\n1: lea .Ltable(%rip),%rax\nmovslq (%rax,%rdi,4),%rdx\n"
    "add %rax,%rdx\njmp *%rdx\n2: pop %rbx\nret\n"
    ".section .rodata\n.p2align 2\n.Ltable: .long 2b-.Ltable\n.long 1b-.Ltable\n.text");
FUNCTION(table_leads_elsewhere, "push %rbx\nlea .Lother(%rip),%rax\nmovslq (%rax,%rdi,4),%rdx\n"
    "add %rax,%rdx\njmp *%rdx\n2: pop %rbx\nret\n"
    ".section .rodata\n.p2align 2\n.Lother: .long 2b-.Lother\n.text");
// The loop leads to the site's first byte, behind endbr64.
FUNCTION(behind_endbr, "endbr64\n1: dec %edi\njne 1b\nmov $1,%eax\nret");
// The loop leads to byte 2: the site moves behind the nops.
FUNCTION(behind_nops, "nop\nnop\n1: dec %edi\njne 1b\nmov $1,%eax\nret");
// Two nops of -fpatchable-function-entry=2 and nothing that leads inside.
FUNCTION(at_nops, "nop\nnop\nmov $1,%eax\nret");
// b8 90 90 eb 09: the immediate's eb 09 would lead to byte 1 of the next function.
FUNCTION(immediate_like_jump, ".byte 0xb8,0x90,0x90,0xeb,0x0c\nret");
FUNCTION(behind_immediate, "push %rbx\npush %rbp\nnop\npop %rbp\npop %rbx\nret");
FUNCTION(parent, "test %edi,%edi\nje parent.cold\nmov $1,%eax\nret");
asm(".section .text.unlikely,\"ax\"\n.type parent.cold,@function\nparent.cold: mov $2,%eax\nud2\n"
    ".size parent.cold,.-parent.cold\n.text\n");
asm(".text\n.p2align 4\n.type parent.constprop.0,@function\nparent.constprop.0: mov $3,%eax\n"
    "ret\n.size parent.constprop.0,.-parent.constprop.0\n");
asm(".globl alias\n.set alias,short_with_padding\n.type alias,@function\n");
asm(".data\n.globl in_data\n.type in_data,@function\nin_data: .byte 0xc3,0,0,0,0,0,0,0\n"
    ".size in_data,8\n.text\n");

static int one(void) { return 1; }
static int (*resolve(void))(void) { return one; }
int chosen(void) __attribute__((ifunc("resolve")));

int puts(const char *);
int main(void) { return puts("entries") + chosen(); }
