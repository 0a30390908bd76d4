// Two functions that have room for a short jump only, and between them padding with
// room for the long jumps of both. Each line is answered with what they return.
#include <stdio.h>

int one(int number);
int two(int number);

// A loop leads to byte 2.
#define COUNT(name) \
    ".globl " #name "\n.type " #name ",@function\n" #name ":\n" \
    "xor %eax,%eax\n1: sub $1,%edi\njs 2f\nadd $1,%eax\njmp 1b\n2: ret\n" \
    ".size " #name ",.-" #name "\n"
asm(".text\n.p2align 6\n" COUNT(one) ".fill 12,1,0xcc\n" COUNT(two));

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    char line[32];
    while (fgets(line, sizeof line, stdin)) printf("one %d two %d\n", one(3), two(3));
    return 0;
}
