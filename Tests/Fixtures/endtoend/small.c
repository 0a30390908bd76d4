// A 32-bit program (cc -m32 -nostdlib -static), for which no library is needed.
// Says "ready" and sleeps.
__asm__(
    ".globl _start\n"
    "_start:\n"
    "    mov $4, %eax\n"  // write
    "    mov $1, %ebx\n"
    "    mov $text, %ecx\n"
    "    mov $6, %edx\n"
    "    int $0x80\n"
    "sleep:\n"
    "    mov $29, %eax\n" // pause
    "    int $0x80\n"
    "    jmp sleep\n"
    ".data\n"
    "text: .ascii \"ready\\n\"\n"
    ".text\n");
