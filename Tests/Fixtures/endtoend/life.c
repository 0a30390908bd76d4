// Goes through what may happen to a process. Commands, one a line, of which
// most are answered with one line:
//   ask          what answer() returns
//   fork         "forked PID": a child that serves "child"
//   child        what answer() returns in the child
//   zombie       "zombie PID": a child that has ended and is not reaped
//   filter       "filtered": from now on a seccomp filter kills for memfd_create,
//                mmap and mprotect
//   errno        "errno filtered": from now on a seccomp filter answers EPERM to them
//   harmless     "harmless": from now on a seccomp filter permits everything
//   strict       "strict": from now on only read and write are allowed
//   exec         runs the program anew, which says "ready" again
// Input and output go without the C library's buffers: strict seccomp permits
// nothing else.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int to_child[2], from_child[2];

__attribute__((noipa)) const char *answer(void) {
    return "old";
}

static int read_line(int descriptor, char *line, size_t size) {
    size_t length = 0;
    while (length + 1 < size && read(descriptor, &line[length], 1) == 1) {
        if (line[length] == '\n') {
            line[length] = 0;
            return 1;
        }
        length++;
    }
    return 0;
}

static void say(int descriptor, const char *text) {
    char line[128];
    size_t length = strlen(text);
    memcpy(line, text, length);
    line[length] = '\n';
    if (write(descriptor, line, length + 1) < 0) _exit(1);
}

static void say_number(const char *what, int number) {
    char text[64];
    snprintf(text, sizeof text, "%s %d", what, number);
    say(STDOUT_FILENO, text);
}

static void start_child(void) {
    char line[64];
    if (pipe(to_child) != 0 || pipe(from_child) != 0) abort();
    int child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read_line(to_child[0], line, sizeof line)) say(from_child[1], answer());
        _exit(0);
    }
    say_number("forked", child);
}

static void ask_child(void) {
    char line[64];
    say(to_child[1], "ask");
    if (!read_line(from_child[0], line, sizeof line)) abort();
    say(STDOUT_FILENO, line);
}

static void leave_zombie(void) {
    int child = fork();
    if (child == 0) _exit(0);
    siginfo_t ended;
    if (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT) != 0) abort();
    say_number("zombie", child);
}

static void filter(unsigned action, const char *reply) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, action),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) abort();
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) abort();
    say(STDOUT_FILENO, reply);
}

int main(int count, char **arguments) {
    (void)count;
    say(STDOUT_FILENO, "ready");
    char line[64];
    while (read_line(STDIN_FILENO, line, sizeof line)) {
        if (strcmp(line, "fork") == 0) start_child();
        else if (strcmp(line, "child") == 0) ask_child();
        else if (strcmp(line, "zombie") == 0) leave_zombie();
        else if (strcmp(line, "filter") == 0) filter(SECCOMP_RET_KILL_PROCESS, "filtered");
        else if (strcmp(line, "errno") == 0) filter(SECCOMP_RET_ERRNO | EPERM, "errno filtered");
        else if (strcmp(line, "harmless") == 0) filter(SECCOMP_RET_ALLOW, "harmless");
        else if (strcmp(line, "exec") == 0) execv(arguments[0], arguments);
        else if (strcmp(line, "strict") == 0) {
            if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) abort();
            say(STDOUT_FILENO, "strict");
        } else say(STDOUT_FILENO, answer());
    }
    return 0;
}
