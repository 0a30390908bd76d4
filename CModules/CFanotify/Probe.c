#define _GNU_SOURCE
#include "CFanotify.h"
#include "Helpers.h"

#include <fcntl.h>
#include <linux/ptrace.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern long ptrace(int request, ...);

// Three processes: the caller waits with a time limit; the tracer may be caught in
// PTRACE_SEIZE, which SIGKILL ends, and then the kernel lets the starter go; the
// starter tries to run a file that no processor understands.

static void die_with(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
}

/// A file in memory that is marked, and the one to be run: the same, or a script
/// whose interpreter it is.
static int make_files(bool through_script, int *marked, int *run) {
    *marked = memfd_create("hotpatch-probe", MFD_CLOEXEC);
    if (*marked < 0) return -errno;
    if (write(*marked, "\177probe", 6) != 6) return -EIO;
    *run = *marked;
    if (!through_script) return 0;
    *run = memfd_create("hotpatch-probe-script", MFD_CLOEXEC);
    if (*run < 0) return -errno;
    return dprintf(*run, "#!/proc/self/fd/%d\n", *marked) > 0 ? 0 : -EIO;
}

/// Waits until it may go on, and tries to run `file`.
static _Noreturn void start(int file, int go, pid_t parent) {
    die_with(parent);
    char letter, path[32];
    char *arguments[] = {"hotpatch-probe", NULL}, *environment[] = {NULL};
    if (read(go, &letter, 1) == 1) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        execve(path, arguments, environment);
    }
    _exit(0);
}

/// What PTRACE_SEIZE answers while the starter waits to be allowed: 1, or -errno.
static int seize_in_question(int group) {
    struct pollfd waiter = {.fd = group, .events = POLLIN};
    struct cfanotify_question question;
    if (poll(&waiter, 1, -1) < 0) return -errno;
    int found = cfanotify_read(group, &question, 1);
    if (found != 1) return found < 0 ? found : -ENODATA;
    long seized = ptrace(PTRACE_SEIZE, question.thread, 0L, (long)PTRACE_O_TRACEEXEC);
    int result = seized == 0 ? 1 : -errno;
    cfanotify_allow(group, question.file);
    return result;
}

static _Noreturn void trace(bool through_script, int answer, pid_t caller) {
    die_with(caller);
    int marked, run, go[2], result = make_files(through_script, &marked, &run);
    if (result == 0 && pipe2(go, O_CLOEXEC) < 0) result = -errno;
    if (result == 0) {
        // Before there is a group that it could hold.
        pid_t tracer = getpid(), child = fork();
        if (child == 0) start(run, go[0], tracer);
        int group = cfanotify_open_group();
        result = child < 0 ? -errno : group < 0 ? group : 0;
        if (result == 0) result = cfanotify_mark(group, CFANOTIFY_EXECUTION, marked, true);
        if (result == 0 && write(go[1], "g", 1) != 1) result = -EIO;
        if (result == 0) result = seize_in_question(group);
    }
    long written = write(answer, &result, sizeof result);
    _exit(written == sizeof result ? 0 : 1);
}

int cfanotify_probe(bool through_script, int timeout_ms) {
    int answer[2];
    if (pipe2(answer, O_CLOEXEC) < 0) return -errno;
    pid_t caller = getpid(), child = fork();
    if (child == 0) trace(through_script, answer[1], caller);
    int error = errno, result = child < 0 ? -error : 0;
    close(answer[1]);
    if (child > 0) {
        struct pollfd waiter = {.fd = answer[0], .events = POLLIN};
        if (poll(&waiter, 1, timeout_ms) > 0 &&
            read(answer[0], &result, sizeof result) != sizeof result) {
            result = -EIO;
        }
        kill(child, SIGKILL);
        // SIGKILL ends PTRACE_SEIZE too: it waits for the lock interruptibly
        // (kernel/ptrace.c, ptrace_attach).
        waitpid(child, NULL, 0);
    }
    close(answer[0]);
    return result;
}
