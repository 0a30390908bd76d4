#define _GNU_SOURCE
#include "CLinuxTrace.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/// The result of a glibc call, by this module's rule.
static long outcome(long result) {
    return result == -1 ? -errno : result;
}

int clinux_pidfd_open(int pid) {
    return (int)outcome(syscall(SYS_pidfd_open, pid, 0));
}

int clinux_pipe(int ends[2]) {
    return (int)outcome(pipe2(ends, O_CLOEXEC));
}

int clinux_memory_file(const char *name) {
    return (int)outcome(memfd_create(name, MFD_CLOEXEC));
}
