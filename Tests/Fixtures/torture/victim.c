// Everything that a switch might disturb, in one process: threads in each kind of
// blocking call, in arithmetic whose state lives in registers, in the functions
// that are patched, in signal handlers on a stack of their own, and threads that
// come and go.
//
// Prints "ready", and answers each line of input with one line:
//   sums=BAD mixed=COUNT unexpected=COUNT versions=SOLO,CHAIN,FRONT,SHORT
//   progress=COUNT,... interrupted=CALL:COUNT,...
// `sums` and `mixed` count results that must never be, `unexpected` blocking calls
// that returned anything but EINTR, `interrupted` those that returned EINTR.
#include "../blockers-objects.h"

#include "../blockers-endless.h"
#include "arithmetic.h"
#include "versions.h"

#define DEFINE(name, ends, call) static long call_##name(void) { return call; }
ENDLESS(DEFINE)
#define ROW(name, ends, call) {#name, call_##name},
static const struct {
    const char *name;
    long (*enter)(void);
} calls[] = {ENDLESS(ROW)};
enum { call_count = sizeof calls / sizeof *calls };
static _Atomic unsigned long interrupted[call_count], unexpected, entered;

static void *block(void *which) {
    long call = (long)which;
    entered++;
    for (;;) {
        if (calls[call].enter() < 0 && errno == EINTR) {
            interrupted[call]++;
            continue;
        }
        // A kernel without the call; of io_uring, without leave to make a ring.
        if (errno == ENOSYS || (errno == EBADF && calls[call].enter == call_io_uring_enter)) break;
        unexpected++;
    }
    return NULL;
}

enum { solo_group, chain_group, front_group, short_group, groups };
static int (*const entries[groups])(void) = {solo, chain_0, front, short_caller};

// What moves on as long as the threads do.
enum { calculated, signalled, called, called_too, started, handled, counters };
static _Atomic unsigned long progress[counters];
static _Atomic unsigned long bad_sums, mixed, broken_sleeps;
static uint64_t expected[arithmetic_kinds];
static pthread_t signalled_thread;

static int version(int group) {
    int found = entries[group]();
    if (found == MIXED) mixed++;
    return found;
}

static void calculate(void) {
    for (int kind = 0; kind < arithmetic_kinds; kind++) {
        if (arithmetic(kind) != expected[kind]) bad_sums++;
    }
}

// Leaves the processor to the others. No signal comes to the threads that use it.
static void breathe(long microseconds) {
    struct timespec time = {0, microseconds * 1000};
    if (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL) == EINTR) broken_sleeps++;
}

static void *calculate_on(void *unused) {
    for (;;) {
        calculate();
        progress[calculated]++;
        breathe(200);
    }
    return unused;
}

static void *call_on(void *which) {
    for (;;) {
        for (int i = 0; i < 20; i++) {
            for (int group = 0; group < groups; group++) version(group);
        }
        progress[(long)which]++;
        breathe(300);
    }
    return NULL;
}

static void handle(int signal) {
    (void)signal;
    int saved = errno;
    for (int group = 0; group < groups; group++) version(group);
    progress[handled]++;
    errno = saved;
}

// On a stack of its own, as programs do that survive an overflow.
static void *calculate_under_signals(void *unused) {
    stack_t stack = {.ss_size = 65536};
    stack.ss_sp = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL)) abort();
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    for (;;) {
        calculate();
        progress[signalled]++;
        // Not sched_yield: on Linux 6.18, again and again from threads that hardly
        // share a processor, it starves the whole machine for a minute.
        usleep(50);
    }
    return unused;
}

static void *send_signals(void *unused) {
    for (;;) {
        pthread_kill(signalled_thread, SIGUSR1);
        breathe(1000);
    }
    return unused;
}

static void *live_shortly(void *unused) {
    version(chain_group);
    return unused;
}

static void *start_others(void *unused) {
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, live_shortly, NULL) == 0) {
            pthread_join(thread, NULL);
            progress[started]++;
        }
        breathe(1000);
    }
    return unused;
}

static pthread_t start(void *(*run)(void *), long argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, (void *)argument)) abort();
    return thread;
}

static void tell(void) {
    printf("sums=%lu mixed=%lu", bad_sums, mixed);
    printf(" unexpected=%lu versions=", unexpected);
    for (int group = 0; group < groups; group++) printf("%d,", version(group));
    printf(" progress=");
    for (int i = 0; i < counters; i++) printf("%lu,", progress[i]);
    printf(" interrupted=");
    for (int i = 0; i < call_count; i++) {
        if (interrupted[i]) printf("%s:%lu,", calls[i].name, interrupted[i]);
    }
    if (broken_sleeps) printf("sleep:%lu,", broken_sleeps);
    putchar('\n');
    fflush(stdout);
}

int main(void) {
    for (int kind = 0; kind < arithmetic_kinds; kind++) expected[kind] = arithmetic(kind);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pthread_mutex_lock(&held_mutex);
    if (make_objects()) return 1;
    for (long i = 0; i < call_count; i++) start(block, i);
    while (entered < call_count) usleep(1000);
    start(calculate_on, 0);
    start(call_on, called);
    start(call_on, called_too);
    signalled_thread = start(calculate_under_signals, 0);
    start(send_signals, 0);
    start(start_others, 0);
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) tell();
    return 0;
}
