// Preloaded into a tool: counts what it does to the files under $STEPS_UNDER, and
// writes each step to the file $STEPS_LOG as
//     MICROSECONDS OPERATION ERRNO PATH [PATH]
// where the time is that since the first step. $STEPS_DO says what happens at the step
// number $STEPS_AT, from 1 on:
//     kill   the process is killed in its place
//     tear   half of what is written is written, then the process is killed
//     fail   the step fails, a write after its first half; ENOSPC, where a file is synced EIO
// $STEPS_KILL_AFTER kills the process so many microseconds after the first step.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum action { NOTHING, KILL, TEAR, FAIL };

static long count;
static struct timespec start;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : -1;
}

static int concerns(const char *path) {
    const char *under = getenv("STEPS_UNDER");
    size_t length = under ? strlen(under) : 0;
    return under && strncmp(path, under, length) == 0 && strchr("/", path[length]);
}

static int descriptor_path(int descriptor, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return concerns(path);
}

static void begin(void) {
    clock_gettime(CLOCK_MONOTONIC, &start);
    long after = number("STEPS_KILL_AFTER");
    if (after < 0) return;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    // No time at all would disarm it.
    struct itimerspec delay = {
        .it_value = {after / 1000000, after % 1000000 * 1000 + 1},
    };
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0
        || timer_settime(timer, 0, &delay, NULL) != 0)
        abort();
}

static enum action next(void) {
    if (++count == 1) begin();
    if (count != number("STEPS_AT")) return NOTHING;
    const char *what = getenv("STEPS_DO");
    if (what && strcmp(what, "tear") == 0) return TEAR;
    if (what && strcmp(what, "fail") == 0) return FAIL;
    kill(getpid(), SIGKILL);
    return KILL;
}

static void note(const char *operation, int error, const char *path, const char *other) {
    const char *log = getenv("STEPS_LOG");
    if (!log) return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long time = (now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000;
    char line[3 * PATH_MAX];
    int length = snprintf(
        line, sizeof line, "%ld %s %d %s %s\n", time, operation, error, path, other);
    long file = syscall(SYS_open, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (syscall(SYS_write, file, line, (size_t)length) != length) abort();
    syscall(SYS_close, file);
}

static long finish(const char *operation, long result, const char *path, const char *other) {
    int error = errno;
    note(operation, result < 0 ? error : 0, path, other);
    errno = error;
    return result;
}

static long step(
    const char *operation, int failure, const char *path, const char *other, long call, long a,
    long b, long c) {
    long result = -1;
    errno = failure;
    switch (next()) {
    case FAIL: break;
    case TEAR: kill(getpid(), SIGKILL); break;
    default: result = syscall(call, a, b, c);
    }
    return finish(operation, result, path, other);
}

static int open_file(const char *path, int flags, mode_t mode) {
    if (!(flags & O_CREAT) || !concerns(path))
        return (int)syscall(SYS_open, path, flags, mode);
    return (int)step("create", ENOSPC, path, "", SYS_open, (long)path, flags, (long)mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
    if (!concerns(path)) return (int)syscall(SYS_mkdir, path, mode);
    return (int)step("mkdir", ENOSPC, path, "", SYS_mkdir, (long)path, (long)mode, 0);
}

int unlink(const char *path) {
    if (!concerns(path)) return (int)syscall(SYS_unlink, path);
    return (int)step("unlink", EIO, path, "", SYS_unlink, (long)path, 0, 0);
}

int rename(const char *from, const char *to) {
    if (!concerns(to)) return (int)syscall(SYS_rename, from, to);
    return (int)step("rename", ENOSPC, from, to, SYS_rename, (long)from, (long)to, 0);
}

int fsync(int file) {
    char path[PATH_MAX];
    if (!descriptor_path(file, path)) return (int)syscall(SYS_fsync, file);
    return (int)step("fsync", EIO, path, "", SYS_fsync, file, 0, 0);
}

int fdatasync(int file) {
    char path[PATH_MAX];
    if (!descriptor_path(file, path)) return (int)syscall(SYS_fdatasync, file);
    return (int)step("fsync", EIO, path, "", SYS_fdatasync, file, 0, 0);
}

ssize_t write(int file, const void *bytes, size_t length) {
    char path[PATH_MAX];
    if (!descriptor_path(file, path)) return syscall(SYS_write, file, bytes, length);
    enum action action = next();
    long result;
    switch (action) {
    case TEAR:
    case FAIL:
        result = syscall(SYS_write, file, bytes, length / 2);
        if (action == TEAR) kill(getpid(), SIGKILL);
        // The rest does not fit: the next write tells so.
        break;
    default: result = syscall(SYS_write, file, bytes, length);
    }
    return finish("write", result, path, "");
}
