#define _GNU_SOURCE
#include "CTrials.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Since Linux 6.3; glibc's headers may be older than the kernel.
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

// Two processes are made for a trial. The subject is what is tried on. The trier
// tries, and is given up when the time is up. They are siblings, so that to the
// Yama security module the subject is a stranger's process, as targets are.
// Both were forked from a process that may have threads: they call nothing but
// what is safe in a signal handler.

struct trial {
    enum ctrials_kind kind;
    const char *marked;
    const char *run;
    pid_t subject;
    char memory[32];               // The subject's /proc/PID/mem.
    int go[2];                     // The subject of CTRIALS_EXEC_HOLD waits for a byte.
    volatile struct ctrials_result *result; // Shared with the trier.
};

/// Code that nobody runs, mapped read-only and executable: two aligned words.
extern const unsigned char ctrials_text[16];
__asm__(".pushsection .text\n"
        ".balign 64\n"
        ".globl ctrials_text\n"
        ".hidden ctrials_text\n"
        ".type ctrials_text, @object\n"
        "ctrials_text: .fill 16, 1, 0xcc\n" // int3
        ".size ctrials_text, 16\n"
        ".popsection");

/// Notes the outcome of a step; true where it was done.
static int note(const struct trial *trial, int step, long outcome) {
    trial->result->steps[step] = outcome < 0 ? -errno : 0;
    return outcome >= 0;
}

static void begin(const struct trial *trial, int step) {
    trial->result->steps[step] = CTRIALS_BEGUN;
}

static long read_subject(const struct trial *trial, const void *address, void *bytes, size_t size) {
    struct iovec here = {bytes, size};
    struct iovec there = {(void *)(uintptr_t)address, size};
    return process_vm_readv(trial->subject, &here, 1, &there, 1, 0);
}

/// 0 where the word at `address` is `wanted`, else -1 and errno.
static long verify(const struct trial *trial, const void *address, uint64_t wanted) {
    uint64_t found = 0;
    if (read_subject(trial, address, &found, sizeof found) != sizeof found) {
        return -1;
    }
    errno = EIO;
    return found == wanted ? 0 : -1;
}

/// Writes a word to the subject's text and looks whether it is there.
static long write_text(const struct trial *trial, int memory, uint64_t word) {
    long written = pwrite(memory, &word, sizeof word, (off_t)(uintptr_t)ctrials_text);
    return written < 0 ? written : verify(trial, ctrials_text, word);
}

static int open_memory(const struct trial *trial) {
    return open(trial->memory, O_RDWR | O_CLOEXEC);
}

static void try_memory(const struct trial *trial) {
    uint64_t word = 0;
    begin(trial, CTRIALS_MEMORY_READ);
    note(trial, CTRIALS_MEMORY_READ, read_subject(trial, ctrials_text, &word, sizeof word));
    begin(trial, CTRIALS_MEMORY_COMPARE);
    note(
        trial, CTRIALS_MEMORY_COMPARE,
        syscall(SYS_kcmp, trial->subject, getpid(), KCMP_VM, 0, 0));
    begin(trial, CTRIALS_MEMORY_OPEN);
    int memory = open_memory(trial);
    if (note(trial, CTRIALS_MEMORY_OPEN, memory)) {
        begin(trial, CTRIALS_MEMORY_WRITE);
        note(trial, CTRIALS_MEMORY_WRITE, write_text(trial, memory, 0x1111111111111111));
    }
}

/// Waits for a stop of the subject with this event (PTRACE_EVENT_*).
static long wait_for_stop(const struct trial *trial, int event) {
    int status = 0;
    while (waitpid(trial->subject, &status, __WALL) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    errno = ESRCH;
    return WIFSTOPPED(status) && status >> 16 == event ? 0 : -1;
}

static void try_trace(const struct trial *trial) {
    begin(trial, CTRIALS_TRACE_SEIZE);
    if (!note(trial, CTRIALS_TRACE_SEIZE, ptrace(PTRACE_SEIZE, trial->subject, NULL, NULL))) {
        return;
    }
    begin(trial, CTRIALS_TRACE_STOP);
    long stopped = ptrace(PTRACE_INTERRUPT, trial->subject, NULL, NULL);
    if (stopped >= 0) {
        stopped = wait_for_stop(trial, PTRACE_EVENT_STOP);
    }
    if (!note(trial, CTRIALS_TRACE_STOP, stopped)) {
        return;
    }
    begin(trial, CTRIALS_TRACE_WRITE);
    int memory = open_memory(trial);
    note(
        trial, CTRIALS_TRACE_WRITE,
        memory < 0 ? memory : write_text(trial, memory, 0x2222222222222222));
    begin(trial, CTRIALS_TRACE_POKE);
    uint64_t word = 0x3333333333333333;
    long poked = ptrace(PTRACE_POKETEXT, trial->subject, ctrials_text + 8, word);
    note(trial, CTRIALS_TRACE_POKE, poked < 0 ? poked : verify(trial, ctrials_text + 8, word));
    begin(trial, CTRIALS_TRACE_DETACH);
    note(trial, CTRIALS_TRACE_DETACH, ptrace(PTRACE_DETACH, trial->subject, NULL, NULL));
}

static void try_payload(const struct trial *trial) {
    begin(trial, CTRIALS_PAYLOAD_MEMFD);
    int file = memfd_create("hotpatch-trial", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (file < 0 && errno == EINVAL) {
        file = memfd_create("hotpatch-trial", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (note(trial, CTRIALS_PAYLOAD_MEMFD, file)) {
        begin(trial, CTRIALS_PAYLOAD_MAP);
        void *map = ftruncate(file, 4096) != 0
            ? MAP_FAILED
            : mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
        note(trial, CTRIALS_PAYLOAD_MAP, map == MAP_FAILED ? -1 : 0);
    }
    begin(trial, CTRIALS_PAYLOAD_ANONYMOUS);
    void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    note(trial, CTRIALS_PAYLOAD_ANONYMOUS, map == MAP_FAILED ? -1 : 0);
}

static void try_priority(const struct trial *trial) {
    begin(trial, CTRIALS_PRIORITY_SET);
    struct sched_param lowest = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};
    note(trial, CTRIALS_PRIORITY_SET, sched_setscheduler(0, SCHED_FIFO, &lowest));
}

/// Waits for the event of the subject's exec. Its descriptor of the file is closed.
static long wait_for_exec(const struct trial *trial, int group, int *answer_to) {
    struct fanotify_event_metadata event = {0};
    long size = read(group, &event, sizeof event);
    if (size < 0) {
        return -1;
    }
    errno = EPROTO;
    if (size < (long)sizeof event || event.vers != FANOTIFY_METADATA_VERSION
        || event.pid != trial->subject) {
        return -1;
    }
    *answer_to = event.fd;
    return 0;
}

static void try_exec_hold(const struct trial *trial) {
    begin(trial, CTRIALS_EXEC_HOLD_INIT);
    unsigned flags = FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_REPORT_TID | FAN_UNLIMITED_QUEUE
        | FAN_UNLIMITED_MARKS;
    int group = fanotify_init(flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE);
    if (!note(trial, CTRIALS_EXEC_HOLD_INIT, group)) {
        return;
    }
    begin(trial, CTRIALS_EXEC_HOLD_MARK);
    long marked =
        fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, trial->marked);
    if (!note(trial, CTRIALS_EXEC_HOLD_MARK, marked)) {
        return;
    }
    begin(trial, CTRIALS_EXEC_HOLD_EVENT);
    struct fanotify_response answer = {.response = FAN_ALLOW};
    long held = write(trial->go[1], "!", 1);
    if (held >= 0) {
        held = wait_for_exec(trial, group, &answer.fd);
    }
    if (!note(trial, CTRIALS_EXEC_HOLD_EVENT, held)) {
        return;
    }
    begin(trial, CTRIALS_EXEC_HOLD_SEIZE);
    long seized = ptrace(PTRACE_SEIZE, trial->subject, NULL, (void *)PTRACE_O_TRACEEXEC);
    if (!note(trial, CTRIALS_EXEC_HOLD_SEIZE, seized)) {
        return;
    }
    begin(trial, CTRIALS_EXEC_HOLD_ALLOW);
    if (!note(trial, CTRIALS_EXEC_HOLD_ALLOW, write(group, &answer, sizeof answer))) {
        return;
    }
    begin(trial, CTRIALS_EXEC_HOLD_STOP);
    if (!note(trial, CTRIALS_EXEC_HOLD_STOP, wait_for_stop(trial, PTRACE_EVENT_EXEC))) {
        return;
    }
    begin(trial, CTRIALS_EXEC_HOLD_END);
    note(trial, CTRIALS_EXEC_HOLD_END, ptrace(PTRACE_DETACH, trial->subject, NULL, NULL));
}

_Noreturn static void be_trier(const struct trial *trial) {
    switch (trial->kind) {
    case CTRIALS_MEMORY: try_memory(trial); break;
    case CTRIALS_TRACE: try_trace(trial); break;
    case CTRIALS_PAYLOAD: try_payload(trial); break;
    case CTRIALS_PRIORITY: try_priority(trial); break;
    case CTRIALS_EXEC_HOLD: try_exec_hold(trial); break;
    }
    _exit(0);
}

_Noreturn static void be_subject(const struct trial *trial) {
    if (trial->kind == CTRIALS_EXEC_HOLD) {
        char byte = 0;
        char *arguments[] = {(char *)(uintptr_t)trial->run, NULL};
        char *environment[] = {NULL};
        close(trial->go[1]);
        if (read(trial->go[0], &byte, 1) == 1) {
            execve(trial->run, arguments, environment);
        }
        _exit(127);
    }
    for (;;) {
        pause();
    }
}

/// fork(2) of a process that the kernel ends with its parent.
static pid_t fork_bound(void) {
    pid_t parent = getpid(), child = fork();
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)) {
        _exit(1);
    }
    return child;
}

static int64_t milliseconds_now(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/// Waits for a child to end until `deadline`; then it is killed, and the kernel has
/// another second to end it: where it cannot, nobody can.
static void finish(pid_t child, int64_t deadline) {
    int is_killed = 0;
    while (waitpid(child, NULL, WNOHANG) == 0) {
        int64_t now = milliseconds_now();
        if (!is_killed && now >= deadline) {
            kill(child, SIGKILL);
            is_killed = 1;
        } else if (now >= deadline + 1000) {
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/// Runs trier and subject to their ends. Returns 0 or -errno.
static int run(struct trial *trial, unsigned milliseconds) {
    trial->subject = fork_bound();
    if (trial->subject < 0) {
        return -errno;
    }
    if (trial->subject == 0) {
        be_subject(trial);
    }
    snprintf(trial->memory, sizeof trial->memory, "/proc/%d/mem", (int)trial->subject);
    int64_t deadline = milliseconds_now() + milliseconds;
    pid_t trier = fork_bound();
    int error = trier < 0 ? errno : 0;
    if (trier == 0) {
        be_trier(trial);
    }
    if (trier > 0) {
        finish(trier, deadline);
    }
    kill(trial->subject, SIGKILL);
    finish(trial->subject, milliseconds_now());
    return -error;
}

int ctrials_run(
    enum ctrials_kind kind, const char *marked, const char *run_path, unsigned milliseconds,
    struct ctrials_result *result) {
    volatile struct ctrials_result *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return -errno;
    }
    for (int step = 0; step < CTRIALS_STEPS; step++) {
        shared->steps[step] = CTRIALS_NOT_REACHED;
    }
    struct trial trial = {
        .kind = kind, .marked = marked, .run = run_path, .result = shared};
    int outcome = 0;
    if (pipe2(trial.go, O_CLOEXEC) != 0) {
        outcome = -errno;
    } else {
        outcome = run(&trial, milliseconds);
        close(trial.go[0]);
        close(trial.go[1]);
    }
    for (int step = 0; step < CTRIALS_STEPS; step++) {
        result->steps[step] = shared->steps[step];
    }
    munmap((void *)(uintptr_t)shared, sizeof *shared);
    return outcome;
}
