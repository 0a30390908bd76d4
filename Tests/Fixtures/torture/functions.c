// What the patches replace.
#define VERSION 1
#include "versions.h"

#define ON_A_PAGE_OF_ITS_OWN __attribute__((aligned(4096)))

LEAF(solo)
ON_A_PAGE_OF_ITS_OWN LEAF(chain_5)
CALLER(chain_4, chain_5)
ON_A_PAGE_OF_ITS_OWN CALLER(chain_3, chain_4)
CALLER(chain_2, chain_3)
ON_A_PAGE_OF_ITS_OWN CALLER(chain_1, chain_2)
CALLER(chain_0, chain_1)
ON_A_PAGE_OF_ITS_OWN CALLER(front, side)

// A loop leads to the third byte, so only two are free at the entry. The five
// bytes behind the end become the island.
asm(".text\n.p2align 12\n"
    ".globl short_leaf\n.type short_leaf,@function\n"
    "short_leaf:\n.cfi_startproc\n"
    "  xor %eax,%eax\n"
    "1: inc %eax\n"
    "  cmp $1,%eax\n"
    "  jl 1b\n"
    "  ret\n"
    ".cfi_endproc\n.size short_leaf,.-short_leaf\n"
    ".fill 5,1,0xcc\n");
asm(".text\n.p2align 12\n"
    ".globl short_caller\n.type short_caller,@function\n"
    "short_caller:\n.cfi_startproc\n"
    "  xor %eax,%eax\n"
    "1: inc %eax\n"
    "  cmp $1,%eax\n"
    "  jl 1b\n"
    "  push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset rbx,0\n"
    "  mov %eax,%ebx\n"
    "  call short_leaf\n"
    "  cmp %eax,%ebx\n"
    "  je 2f\n"
    "  mov $99,%eax\n"
    "2: pop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore rbx\n"
    "  ret\n"
    ".cfi_endproc\n.size short_caller,.-short_caller\n"
    ".fill 5,1,0xcc\n.p2align 12\n");
