#define _GNU_SOURCE
#include "CFanotify.h"
#include "Helpers.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/// Milliseconds of CLOCK_MONOTONIC, which stands still while the machine sleeps.
struct cfanotify_beats {
    _Atomic uint64_t ward;     ///< 0 before the first
    _Atomic uint64_t guardian;
};

static _Noreturn void guard(
    int ward, struct cfanotify_beats *beats, uint64_t interval, uint64_t limit) {
    uint64_t last_look = now_ms();
    bool was_late = false;
    while (1) {
        struct pollfd waiter = {.fd = ward, .events = POLLIN};
        if (poll(&waiter, 1, (int)interval) > 0) _exit(0);
        uint64_t now = now_ms(), beat = atomic_load(&beats->ward);
        // Where this process was kept waiting itself, so was the other perhaps: it
        // gets another round, and no more.
        bool is_excused = !was_late && now - last_look > 2 * interval;
        was_late = is_excused;
        last_look = now;
        atomic_store(&beats->guardian, now);
        if (beat == 0 || is_excused || now < beat || now - beat < limit) continue;
        syscall(SYS_pidfd_send_signal, ward, SIGKILL, NULL, 0);
    }
}

static _Noreturn void become_guardian(
    pid_t parent, struct cfanotify_beats *beats, int interval_ms, int limit_ms) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    // A terminal that stops or ends the other process must not reach this one.
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "hotpatch-guard");
    // It does next to nothing, and that in time. Without the right to it, it goes on.
    setpriority(PRIO_PROCESS, 0, -10);
    int ward = (int)syscall(SYS_pidfd_open, parent, 0);
    if (ward < 0 || getppid() != parent) _exit(1);
    // Whatever was open, whose end somebody may wait for.
    int kept = dup2(ward, 0);
    if (kept != 0) _exit(1);
    syscall(SYS_close_range, 1u, ~0u, 0u);
    cfanotify_stay_in_memory();
    atomic_store(&beats->guardian, now_ms());
    guard(kept, beats, (uint64_t)interval_ms, (uint64_t)limit_ms);
}

int cfanotify_start_guardian(
    int interval_ms, int limit_ms, struct cfanotify_guardian *guardian) {
    struct cfanotify_beats *beats = mmap(
        NULL, sizeof *beats, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (beats == MAP_FAILED) return -errno;
    atomic_store(&beats->guardian, now_ms());
    pid_t parent = getpid(), child = fork();
    if (child == 0) become_guardian(parent, beats, interval_ms, limit_ms);
    int process = child < 0 ? -1 : (int)syscall(SYS_pidfd_open, child, 0);
    if (process < 0) {
        int error = errno;
        if (child > 0) kill(child, SIGKILL);
        munmap(beats, sizeof *beats);
        return -error;
    }
    *guardian = (struct cfanotify_guardian){.process = process, .pid = child, .beats = beats};
    return 0;
}

void cfanotify_beat(const struct cfanotify_guardian *guardian) {
    atomic_store(&guardian->beats->ward, now_ms());
}

int64_t cfanotify_guardian_silence(const struct cfanotify_guardian *guardian) {
    uint64_t now = now_ms(), beat = atomic_load(&guardian->beats->guardian);
    return now < beat ? 0 : (int64_t)(now - beat);
}
