#include "CTorture.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int ctorture_fork(void) {
    pid_t parent = getpid(), child = fork();
    if (child < 0) return -errno;
    if (child > 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    return 0;
}

// The kernel's own calls, whose timers have small numbers: glibc's are pointers.
int ctorture_make_timer(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    int timer;
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer)) return -errno;
    return timer;
}

int ctorture_start_timer(int timer, uint64_t nanoseconds) {
    struct itimerspec time = {
        .it_value = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)}};
    return syscall(SYS_timer_settime, timer, 0, &time, NULL) ? -errno : 0;
}
