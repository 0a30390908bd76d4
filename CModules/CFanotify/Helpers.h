#pragma once

#include <errno.h>
#include <stdint.h>
#include <time.h>

/// The result of a glibc call, by this module's rule.
static inline int outcome(long result) { return result == -1 ? -errno : (int)result; }

static inline uint64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}
