// workers N: N threads, of which the first one or two compute without end and
// check each result, and the others sleep in different system calls. The input
// line "report" makes each computing thread do one more round, begun after the
// line was read, and prints
//   fresh OLD NEW total OLD NEW wrong N interrupted N
// results of those rounds, results of all time, results that neither the old
// nor the new function gives, and system calls that returned EINTR. With SHORT_SITE
// the function has room for a short jump only.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUND = 20, OTHER_WORK = 100000, HOUR = 3600 };

struct results {
    unsigned long old, new;
};

#ifdef SHORT_SITE
__attribute__((used))
#endif
static long base_rate = 3;
static atomic_ulong total_old, total_new, wrong, interrupted;
static atomic_uint wanted, finished; // rounds asked for, and done by the second thread
static struct results second;        // of its last round, valid once it is finished
static atomic_uint asleep;

#ifdef SHORT_SITE
// The same, in which a loop leads to byte 2, with padding in reach.
long compute(long number);
asm(".text\n.p2align 4\n.globl compute\n.type compute,@function\n"
    "compute: xor %eax,%eax\n1: sub $1,%rdi\njs 2f\nadd base_rate(%rip),%rax\njmp 1b\n"
    "2: add $1,%rax\nret\n.size compute,.-compute\n.fill 8,1,0xcc\n");
#else
static __attribute__((noinline)) long compute(long number) {
    return number * base_rate + 1;
}
#endif

// Most of the time, so that there are moments when no thread is in compute().
static void work_elsewhere(void) {
    static _Thread_local volatile unsigned sink;
    for (unsigned i = 0; i < OTHER_WORK; i++) sink += i;
}

static struct results compute_round(void) {
    work_elsewhere();
    struct results round = {0, 0};
    for (long number = 0; number < ROUND; number++) {
        long before = number * 7, after = number ^ 0x55;
        long result = compute(number);
        if (before != number * 7 || after != (number ^ 0x55)) atomic_fetch_add(&wrong, 1);
        if (result == number * 3 + 1) round.old++;
        else if (result == number * 3 + 1000000) round.new++;
        else atomic_fetch_add(&wrong, 1);
    }
    atomic_fetch_add(&total_old, round.old);
    atomic_fetch_add(&total_new, round.new);
    return round;
}

static void *compute_on(void *unused) {
    (void)unused;
    for (;;) {
        unsigned round = atomic_load(&wanted);
        struct results results = compute_round();
        if (atomic_load(&finished) != round) {
            second = results;
            atomic_store(&finished, round);
        }
    }
    return NULL;
}

// Sleeps for an hour in a system call that the number chooses; -1 where that
// call returned early.
static int sleep_somewhere(int number) {
    int ends[2];
    char byte;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) abort();
    struct pollfd one = {.fd = ends[0], .events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN};
    struct timespec hour = {.tv_sec = HOUR};
    struct timeval hour_too = {.tv_sec = HOUR};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    int epoll = -1;

    atomic_fetch_add(&asleep, 1);
    switch (number % 8) {
    case 0: return poll(&one, 1, HOUR * 1000);
    case 1:
        epoll = epoll_create1(0);
        epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
        return epoll_wait(epoll, &event, 1, HOUR * 1000);
    case 2: return nanosleep(&hour, NULL);
    case 3:
        pthread_mutex_lock(&mutex);
        return pthread_cond_wait(&never, &mutex) == 0 ? 0 : -1;
    case 4: return (int)read(ends[0], &byte, 1);
    case 5:
        setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &hour_too, sizeof hour_too);
        return (int)recv(ends[0], &byte, 1, 0);
    case 6: return sigtimedwait(&signals, NULL, &hour);
    default: return pause();
    }
}

static void *sleep_on(void *number) {
    for (;;) {
        if (sleep_somewhere((int)(size_t)number) < 0 && errno == EINTR)
            atomic_fetch_add(&interrupted, 1);
    }
    return NULL;
}

static void start(void *(*function)(void *), size_t number) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_t thread;
    if (pthread_create(&thread, &small, function, (void *)number) != 0) abort();
}

static void report(int has_second) {
    unsigned round = atomic_fetch_add(&wanted, 1) + 1;
    struct results fresh = compute_round();
    if (has_second) {
        while (atomic_load(&finished) != round) {}
        fresh.old += second.old;
        fresh.new += second.new;
    }
    printf("fresh %lu %lu total %lu %lu wrong %lu interrupted %lu\n", fresh.old, fresh.new,
           atomic_load(&total_old), atomic_load(&total_new), atomic_load(&wrong),
           atomic_load(&interrupted));
    fflush(stdout);
}

int main(int count, char **arguments) {
    if (count != 2) return 1;
    base_rate += count - 2; // so that it is no constant
    int threads = atoi(arguments[1]);
    int has_second = threads > 1;
    if (has_second) start(compute_on, 0);
    for (int i = 2; i < threads; i++) start(sleep_on, (size_t)i);
    while ((int)atomic_load(&asleep) < threads - 2) sched_yield();
    puts("ready");
    fflush(stdout);

    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[64];
    for (;;) {
        compute_round();
        if (poll(&input, 1, 0) <= 0) continue;
        if (read(STDIN_FILENO, line, sizeof line) <= 0) return 0;
        report(has_second);
    }
}
