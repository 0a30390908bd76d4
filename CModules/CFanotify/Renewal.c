#define _GNU_SOURCE
#include "CFanotify.h"
#include "Helpers.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/// Ends the calling process where it cannot.
static _Noreturn void become(
    const char *path, char *const *arguments, char *const *environment) {
    // What is ignored or blocked would stay so.
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &standard, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // Before execve, which may wait: a group that stays open is waited for.
    syscall(SYS_close_range, (unsigned)STDERR_FILENO + 1, ~0u, 0u);
    execve(path, arguments, environment);
    _exit(127);
}

int cfanotify_start_sibling(
    const char *path, char *const *arguments, char *const *environment, int *pid) {
    int descriptor = -1;
    long child = syscall(
        SYS_clone, (unsigned long)(CLONE_PARENT | CLONE_PIDFD | SIGCHLD), NULL, &descriptor, NULL,
        0UL);
    if (child == 0) become(path, arguments, environment);
    if (child < 0) return outcome(child);
    *pid = (int)child;
    return descriptor;
}
