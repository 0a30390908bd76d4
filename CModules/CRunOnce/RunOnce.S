// What every replacement of a payload is entered through until it has been done:
// the functions of a table are called, in order, by the thread that comes first.
// Others wait for it.
//
// A gate calls this, as one thread's ordinary code, at a function's entry:
//
//     push %rcx
//     mov  word(%rip),%rcx
//     jrcxz 1f
//     call crunonce_routine
//  1: pop  %rcx
//     jmp  replacement
//
// So rcx is the gate's to keep. Everything else that a caller may have put into
// registers for the function is kept here: the flags, all general registers that a
// call may change, and all vector registers, whatever the processor has of them.
// At a function's entry nothing of value lies below the stack pointer (psABI 3.2.2).
//
// The table, read-only: 24 bytes for each call, the function and its two arguments,
// and 8 bytes of zero behind the last.
// The block, writable:
//     0  8  the word: 0 when all is done, PENDING before, and meanwhile the id of the
//           thread that does it
//     8  8  how far it has got, in bytes of the table: behind the call that was begun
//           last, so that none is made twice whatever becomes of it
//
// The thread that does it runs no signal handlers meanwhile: one might enter a
// replacement, and find it half done. Where a function of the table enters one, it
// goes by. Where the thread is gone (cancelled in the middle, or it is not this
// process's: another thread of the parent forked it), the next one goes on with what
// has not been begun.

#define PENDING 0x80000000

#define SYS_rt_sigprocmask 14
#define SYS_getpid 39
#define SYS_gettid 186
#define SYS_futex 202
#define SYS_tgkill 234
#define SIG_BLOCK 0
#define SIG_SETMASK 2
#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129
#define ESRCH 3
#define ETIMEDOUT 110

// SSE, AVX, opmask, ZMM_Hi256 and Hi16_ZMM (SDM vol. 1, 13.1): what holds arguments.
#define VECTOR_STATE 0xe6

// In the frame, below rbp.
#define FLAGS (-8)
#define RAX (-16)
#define RDX (-24)
#define RSI (-32)
#define RDI (-40)
#define R8 (-48)
#define R9 (-56)
#define R10 (-64)
#define R11 (-72)
#define SIGNALS (-80)
#define NANOSECONDS (-88)
#define SECONDS (-96)
#define COMPONENTS (-104)
#define OWNER (-112)
#define FRAME 112

        .section .rodata
        .balign 16
        .globl crunonce_start, crunonce_routine, crunonce_end
        .hidden crunonce_start, crunonce_routine, crunonce_end
crunonce_start:
// Filled in by the linker of payloads.
table:  .quad 0
block:  .quad 0
// All signals but those that the processor or the kernel raise for what the thread
// itself does, which would kill it: SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS.
signals:
        .quad ~(1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 30)
        .quad 0

crunonce_routine:
        // ThunkFrames tells of these instructions, and of the last.
        endbr64
        push    %rbp
        mov     %rsp, %rbp
        pushfq
        sub     $(FRAME - 8), %rsp
        cld
        mov     %rax, RAX(%rbp)
        mov     %rdx, RDX(%rbp)
        mov     %rsi, RSI(%rbp)
        mov     %rdi, RDI(%rbp)
        mov     %r8, R8(%rbp)
        mov     %r9, R9(%rbp)
        mov     %r10, R10(%rbp)
        mov     %r11, R11(%rbp)

// Room for the vector registers: as XSAVE wants it, or where there is none FXSAVE.
        mov     %rbx, %r8
        mov     $1, %eax
        xor     %ecx, %ecx
        cpuid
        xor     %r9d, %r9d              // the components to save
        mov     $512, %r10d             // the bytes that they take
        bt      $27, %ecx               // OSXSAVE
        jnc     3f
        xor     %ecx, %ecx
        xgetbv
        mov     %eax, %r9d
        and     $VECTOR_STATE, %r9d
        mov     $576, %r10d             // the legacy region and the header
        mov     $2, %r11d
1:      bt      %r11d, %r9d
        jnc     2f
        mov     $13, %eax
        mov     %r11d, %ecx
        cpuid                           // eax: size, ebx: offset
        add     %ebx, %eax
        cmp     %eax, %r10d
        cmovb   %eax, %r10d
2:      inc     %r11d
        cmp     $8, %r11d
        jb      1b
3:      mov     %r8, %rbx
        mov     %r9d, COMPONENTS(%rbp)
        sub     %r10, %rsp
        and     $-64, %rsp
        mov     %r9d, %eax
        xor     %edx, %edx
        test    %eax, %eax
        jz      4f
        mov     %rdx, 512(%rsp)         // the header has to be zero
        mov     %rdx, 520(%rsp)
        mov     %rdx, 528(%rsp)
        mov     %rdx, 536(%rsp)
        mov     %rdx, 544(%rsp)
        mov     %rdx, 552(%rsp)
        mov     %rdx, 560(%rsp)
        mov     %rdx, 568(%rsp)
        xsave   (%rsp)
        jmp     claim
4:      fxsave64 (%rsp)

claim:
        mov     $SYS_rt_sigprocmask, %eax
        mov     $SIG_BLOCK, %edi
        lea     signals(%rip), %rsi
        lea     SIGNALS(%rbp), %rdx
        mov     $8, %r10d
        syscall
        mov     $SYS_gettid, %eax
        syscall
        mov     %eax, %esi
        mov     block(%rip), %rdi
        mov     $PENDING, %eax
        lock cmpxchg %esi, (%rdi)
        je      run
        mov     %eax, OWNER(%rbp)
        cmp     %esi, %eax
        je      own
        call    handle_signals
        mov     OWNER(%rbp), %edx
        test    %edx, %edx
        jz      leave

// Somebody is at it. Once a second it is looked whether it is still there.
        movq    $1, SECONDS(%rbp)
        movq    $0, NANOSECONDS(%rbp)
        mov     $SYS_futex, %eax
        mov     block(%rip), %rdi
        mov     $FUTEX_WAIT_PRIVATE, %esi
        lea     SECONDS(%rbp), %r10
        syscall
        cmp     $-ETIMEDOUT, %rax
        jne     claim
        mov     $SYS_getpid, %eax
        syscall
        mov     %eax, %edi
        mov     OWNER(%rbp), %esi
        xor     %edx, %edx
        mov     $SYS_tgkill, %eax
        syscall
        cmp     $-ESRCH, %rax
        jne     claim
        mov     block(%rip), %rdi
        mov     OWNER(%rbp), %eax
        mov     $PENDING, %ecx
        lock cmpxchg %ecx, (%rdi)
        jmp     claim

own:
        call    handle_signals
        jmp     leave

// The thread's own signals again; changes rax, rcx, rdx, rsi, rdi, r10 and r11.
handle_signals:
        mov     $SYS_rt_sigprocmask, %eax
        mov     $SIG_SETMASK, %edi
        lea     SIGNALS(%rbp), %rsi
        xor     %edx, %edx
        mov     $8, %r10d
        syscall
        ret

// By this thread, one after the other.
run:
        mov     block(%rip), %rdx
        mov     table(%rip), %rcx
        mov     8(%rdx), %rax
        add     %rax, %rcx
        mov     (%rcx), %r11
        test    %r11, %r11
        jz      done
        add     $24, %rax
        mov     %rax, 8(%rdx)
        mov     8(%rcx), %rdi
        mov     16(%rcx), %rsi
        xor     %eax, %eax
        notrack call *%r11
        jmp     run
done:
        mov     block(%rip), %rdi
        movl    $0, (%rdi)
        mov     $SYS_futex, %eax
        mov     $FUTEX_WAKE_PRIVATE, %esi
        mov     $0x7fffffff, %edx
        syscall
        call    handle_signals

leave:
        mov     COMPONENTS(%rbp), %eax
        xor     %edx, %edx
        test    %eax, %eax
        jz      1f
        xrstor  (%rsp)
        jmp     2f
1:      fxrstor64 (%rsp)
2:      mov     RAX(%rbp), %rax
        mov     RDX(%rbp), %rdx
        mov     RSI(%rbp), %rsi
        mov     RDI(%rbp), %rdi
        mov     R8(%rbp), %r8
        mov     R9(%rbp), %r9
        mov     R10(%rbp), %r10
        mov     R11(%rbp), %r11
        lea     FLAGS(%rbp), %rsp
        popfq
        pop     %rbp
        ret
crunonce_end:

        .section .note.GNU-stack, "", @progbits
