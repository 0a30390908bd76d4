// Runs under seccomp filters as service managers make them: one permits what it names
// and fails the rest, one kills for memory that is writable and executable at once, found
// in the arguments of mmap and mprotect. Answers each line with "alive".
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, value)

static int install(struct sock_filter *steps, unsigned short count) {
    struct sock_fprog program = {count, steps};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(void) {
    char line[64];
    setvbuf(stdin, line, _IOLBF, sizeof line);
    struct sock_filter no_writable_code[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 9),
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 6),
        BPF_STMT(BPF_LDX | BPF_IMM, PROT_WRITE | PROT_EXEC),
        LOAD(args[2]),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_X, 0),
        BPF_STMT(BPF_ST, 3),
        BPF_STMT(BPF_LD | BPF_MEM, 3),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
        ANSWER(SECCOMP_RET_ALLOW),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
    };
    static const int permitted[] = {
        SYS_read,   SYS_write, SYS_close,        SYS_mmap,          SYS_mprotect,
        SYS_munmap, SYS_brk,   SYS_memfd_create, SYS_newfstatat,    SYS_exit_group,
        SYS_fstat,  SYS_prctl, SYS_rt_sigreturn, SYS_restart_syscall,
    };
    enum { PERMITTED = sizeof permitted / sizeof *permitted };
    struct sock_filter list[2 * PERMITTED + 2] = {LOAD(nr)};
    for (int index = 0; index < PERMITTED; index++) {
        list[2 * index + 1] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)permitted[index], 0, 1);
        list[2 * index + 2] = (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW);
    }
    list[2 * PERMITTED + 1] = (struct sock_filter)ANSWER(SECCOMP_RET_ERRNO | EPERM);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 1;
    if (install(no_writable_code, sizeof no_writable_code / sizeof *no_writable_code)) return 1;
    if (install(list, sizeof list / sizeof *list)) return 1;
    puts("ready");
    fflush(stdout);
    int next;
    while ((next = getchar()) != EOF) {
        if (next == '\n') {
            puts("alive");
            fflush(stdout);
        }
    }
    return 0;
}
