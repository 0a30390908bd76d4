#define _GNU_SOURCE
#include "CEntries.h"

#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

int centries_open(int thread, uint64_t address) {
    struct perf_event_attr event = {
        .type = PERF_TYPE_BREAKPOINT,
        .size = sizeof event,
        .bp_type = HW_BREAKPOINT_X,
        .bp_addr = address,
        // perf_event_open(2): of an instruction, sizeof(long).
        .bp_len = sizeof(long),
        .inherit = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    long descriptor = syscall(SYS_perf_event_open, &event, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int64_t centries_read(int descriptor) {
    uint64_t count;
    ssize_t size = read(descriptor, &count, sizeof count);
    if (size < 0) return -errno;
    return size == sizeof count && count <= INT64_MAX ? (int64_t)count : -EIO;
}
