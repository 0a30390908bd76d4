#define _GNU_SOURCE
#include "CFanotify.h"
#include "Helpers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

int cfanotify_open_group(void) {
    // FAN_REPORT_TID: without it, an exec by a thread other than the first would name
    // the wrong one. Unlimited: a question that does not fit is never asked.
    return outcome(fanotify_init(
        FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_TID | FAN_UNLIMITED_QUEUE |
            FAN_UNLIMITED_MARKS,
        O_RDONLY | O_CLOEXEC | O_LARGEFILE));
}

int cfanotify_mark(int group, enum cfanotify_occasion occasion, int file, bool add) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return outcome(fanotify_mark(
        group, add ? FAN_MARK_ADD : FAN_MARK_REMOVE,
        occasion == CFANOTIFY_EXECUTION ? FAN_OPEN_EXEC_PERM : FAN_OPEN_PERM, AT_FDCWD, path));
}

int cfanotify_read(int group, struct cfanotify_question *questions, size_t count) {
    struct fanotify_event_metadata events[64];
    if (count > sizeof events / sizeof *events) count = sizeof events / sizeof *events;
    ssize_t size = read(group, events, count * sizeof *events);
    if (size < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    int found = 0;
    for (struct fanotify_event_metadata *event = events; FAN_EVENT_OK(event, size);
         event = FAN_EVENT_NEXT(event, size)) {
        if (event->vers != FANOTIFY_METADATA_VERSION) return -EPROTO;
        if (event->fd < 0) continue;
        questions[found++] = (struct cfanotify_question){
            .file = event->fd,
            .thread = event->pid,
            .executes = (event->mask & FAN_OPEN_EXEC_PERM) != 0,
        };
    }
    return found;
}

int cfanotify_allow(int group, int file) {
    struct fanotify_response response = {.fd = file, .response = FAN_ALLOW};
    long written;
    do written = write(group, &response, sizeof response);
    while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : 0;
}

int cfanotify_set_alarm(int milliseconds) {
    struct itimerval timer = {
        .it_value = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000}};
    return outcome(setitimer(ITIMER_REAL, &timer, NULL));
}

int cfanotify_send_signal(int process, int signal) {
    return outcome(syscall(SYS_pidfd_send_signal, process, signal, NULL, 0));
}

int cfanotify_stay_in_memory(void) {
    // On fault: what was never touched stays where it is.
    return outcome(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
}
