#define _GNU_SOURCE
#include "CTorture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int ctorture_open_terminal(char *path) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0) return -errno;
    if (grantpt(master) == 0 && unlockpt(master) == 0 && ptsname_r(master, path, 64) == 0) {
        return master;
    }
    int error = errno;
    close(master);
    return -error;
}

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
