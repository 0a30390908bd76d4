// Functions with each kind of instruction that an entry can start with, twice:
// site_NAME, of which the test moves the first instructions to moved_NAME and
// destroys the original ones, and reference_NAME, which is left alone. Each takes
// two numbers in rdi and rsi, may change `shared`, and returns a number.

    .macro function kind, name
    .text
    .p2align 4
    .globl \kind\()_\name
    .type \kind\()_\name, @function
\kind\()_\name:
    .endm

    .macro done kind, name
    .size \kind\()_\name, . - \kind\()_\name
    .ifc \kind, site
    .section .moved, "ax", @progbits
    .p2align 4
    .globl moved_\name
    .type moved_\name, @function
moved_\name:
    .skip 128, 0xcc
    .size moved_\name, 128
    .section .rodata
9:  .asciz "\name"
    .section .data.rel.ro, "aw", @progbits
    .quad 9b, moved_\name, reference_\name
    .endif
    .endm

    .section .data.rel.ro, "aw", @progbits
    .globl cases
cases:
    .data
    .globl shared
    .p2align 4
shared:
    .quad 0, 0
pointer:
    .quad helper

    .text
helper:
    lea 7(%rdi,%rdi), %rax
    ret

    .irp kind, site, reference

    // Operands in memory.
    function \kind, load
    mov shared(%rip), %rax
    add %rdi, %rax
    ret
    done \kind, load

    function \kind, store
    mov %rsi, shared(%rip)
    lea 1(%rdi), %rax
    ret
    done \kind, store

    function \kind, store_immediate
    movl $0x12345678, shared(%rip)
    mov %rdi, %rax
    ret
    done \kind, store_immediate

    function \kind, compare_byte
    cmpb $3, shared(%rip)
    sete %al
    movzbl %al, %eax
    ret
    done \kind, compare_byte

    function \kind, compare_word
    cmpw $0x303, shared(%rip)
    setb %al
    movzbl %al, %eax
    ret
    done \kind, compare_word

    function \kind, compare_long
    cmpq $0x10203, shared(%rip)
    setg %al
    movzbl %al, %eax
    ret
    done \kind, compare_long

    function \kind, address
    lea shared(%rip), %rdx
    mov (%rdx), %rax
    xor %rsi, %rax
    ret
    done \kind, address

    function \kind, own_address
    lea \kind\()_own_address(%rip), %rax
    lea \kind\()_own_address(%rip), %rdx
    sub %rdx, %rax
    add %rdi, %rax
    ret
    done \kind, own_address

    function \kind, vector
    movups shared(%rip), %xmm0
    movq %xmm0, %rax
    ret
    done \kind, vector

    function \kind, shift
    shlq $3, shared(%rip)
    mov %rdi, %rax
    ret
    done \kind, shift

    function \kind, thread_local
    mov %fs:0, %rax
    sub %fs:0, %rax
    add %rdi, %rax
    ret
    done \kind, thread_local

    // Branches.
    .irp condition, o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g
    function \kind, j\condition
    cmp %rsi, %rdi
    j\condition 1f
    mov $10, %eax
    ret
1:  mov $20, %eax
    ret
    done \kind, j\condition

    function \kind, near_j\condition
    cmp %rsi, %rdi
    {disp32} j\condition 1f
    mov $10, %eax
    ret
1:  mov $20, %eax
    ret
    done \kind, near_j\condition
    .endr

    function \kind, jump
    jmp 1f
    ud2
    ud2
1:  lea 3(%rdi), %rax
    ret
    done \kind, jump

    function \kind, near_jump
    {disp32} jmp 1f
    ud2
1:  lea 4(%rdi), %rax
    ret
    done \kind, near_jump

    function \kind, tail_call
    jmp helper
    done \kind, tail_call

    function \kind, tail_call_through_pointer
    jmp *pointer(%rip)
    done \kind, tail_call_through_pointer

    function \kind, call
    call helper
    inc %rax
    ret
    done \kind, call

    function \kind, call_through_pointer
    call *pointer(%rip)
    inc %rax
    ret
    done \kind, call_through_pointer

    function \kind, frame_and_call
    push %rbx
    mov %rsi, %rbx
    call helper
    add %rbx, %rax
    pop %rbx
    ret
    done \kind, frame_and_call

    function \kind, loop
    lea (%rdi), %rcx
    loop 1f
    mov $10, %eax
    ret
1:  mov $20, %eax
    ret
    done \kind, loop

    .irp condition, loope, loopne
    function \kind, \condition
    lea (%rdi), %rcx
    cmp %rsi, %rdi
    \condition 1f
    mov $10, %eax
    ret
1:  mov $20, %eax
    ret
    done \kind, \condition
    .endr

    function \kind, loop32
    mov %edi, %ecx
    addr32 loop 1f
    mov $10, %eax
    ret
1:  mov $20, %eax
    ret
    done \kind, loop32

    function \kind, jrcxz
    mov %rdi, %rcx
    jrcxz 1f
    mov $10, %eax
    ret
1:  mov $20, %eax
    ret
    done \kind, jrcxz

    function \kind, jecxz
    mov %rdi, %rcx
    jecxz 1f
    mov $10, %eax
    ret
1:  mov $20, %eax
    ret
    done \kind, jecxz

    // Branches among the moved instructions.
    function \kind, inner_loop
    movzbl %dil, %ecx
    inc %ecx
    xor %eax, %eax
1:  add %esi, %eax
    loop 1b
    ret
    done \kind, inner_loop

    function \kind, inner_skip
    xor %eax, %eax
    test %rdi, %rdi
    js 1f
    inc %eax
1:  lea 5(%rax), %rax
    ret
    done \kind, inner_skip

    function \kind, back_to_entry
    sub $1, %dil
    jnc \kind\()_back_to_entry
    movzbl %dil, %eax
    ret
    done \kind, back_to_entry

    function \kind, behind_return
    test %rdi, %rdi
    js 1f
    mov %esi, %eax
    ret
1:  mov $30, %eax
    ret
    done \kind, behind_return

    // Prologues and what needs no change.
    function \kind, marked
    endbr64
    mov %rdi, %rax
    add %rsi, %rax
    ret
    done \kind, marked

    function \kind, frame
    push %rbp
    mov %rsp, %rbp
    sub $16, %rsp
    mov %rdi, -8(%rbp)
    mov -8(%rbp), %rax
    leave
    ret
    done \kind, frame

    function \kind, stack
    sub $24, %rsp
    mov %rdi, 8(%rsp)
    mov 8(%rsp), %rax
    add $24, %rsp
    ret
    done \kind, stack

    function \kind, constant
    movabs $0x123456789abcdef0, %rax
    add %rdi, %rax
    ret
    done \kind, constant

    function \kind, system_call
    mov $39, %eax
    syscall
    ret
    done \kind, system_call

    function \kind, short
    mov %edi, %eax
    ret
    .skip 4, 0x90
    done \kind, short

    function \kind, prefixed_return
    mov %edi, %eax
    repz ret
    .skip 4, 0x90
    done \kind, prefixed_return

    function \kind, bound
    xor %eax, %eax
    bnd jmp 1f
    ud2
1:  mov %edi, %eax
    ret
    done \kind, bound

    .endr

    .section .data.rel.ro, "aw", @progbits
    .quad 0, 0, 0
    .section .note.GNU-stack, "", @progbits
