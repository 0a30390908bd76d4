// A 32-bit program that writes "ready" and waits: assembled with -m32 -nostdlib.
    .globl _start
_start:
    mov $4, %eax            // write(1, ready, 6)
    mov $1, %ebx
    mov $ready, %ecx
    mov $6, %edx
    int $0x80
again:
    mov $29, %eax           // pause()
    int $0x80
    jmp again
    .section .rodata
ready:
    .ascii "ready\n"
