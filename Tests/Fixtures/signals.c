// Signals with handlers at a high rate: none may be lost, none doubled, and each
// must interrupt the call that it arrives in.
//   signals QUEUED SINGLE
// One thread spins and one sleeps in nanosleep; each is sent QUEUED queued
// signals as fast as the queue takes them. One thread sits in epoll_wait and one
// in pause; each is sent SINGLE signals, the next as soon as the call has
// returned EINTR for the last. Prints "ready", begins at a line of input, and
// prints "done queued=N,N interrupted=N,N" or "stuck ..." after 50 s.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { spinner, sleeper, poller, pauser, kinds };
static pthread_t threads[kinds];
static atomic_long handled[kinds], returned[kinds];
static _Thread_local int self;
static atomic_int prepared;
static long queued, single;

static void handle(int signal) {
    (void)signal;
    handled[self]++;
}

static void *live(void *kind) {
    self = (int)(long)kind;
    int queue = epoll_create1(0);
    struct epoll_event event;
    const struct timespec hour = {3600, 0};
    prepared++;
    for (volatile unsigned long work = 0;; work++) {
        if (self == sleeper) nanosleep(&hour, NULL);
        // Blocked but in the call, so that each signal finds the call.
        sigset_t none;
        sigemptyset(&none);
        if (self == poller && epoll_pwait(queue, &event, 1, -1, &none) < 0 && errno == EINTR)
            returned[self]++;
        if (self == pauser && sigsuspend(&none) < 0 && errno == EINTR) returned[self]++;
    }
    return NULL;
}

static void *send_queued(void *kind) {
    int to = (int)(long)kind;
    union sigval nothing = {0};
    for (long sent = 0; sent < queued;) {
        if (pthread_sigqueue(threads[to], SIGRTMIN, nothing) == 0) sent++;
        else usleep(10);
    }
    while (handled[to] < queued) usleep(1000);
    return NULL;
}

static void *send_single(void *kind) {
    int to = (int)(long)kind;
    for (long sent = 1; sent <= single; sent++) {
        pthread_kill(threads[to], SIGUSR1);
        while (handled[to] < sent || returned[to] < sent) usleep(20);
    }
    return NULL;
}

static void print(const char *how) {
    printf(
        "%s queued=%ld,%ld interrupted=%ld,%ld\n", how, handled[spinner], handled[sleeper],
        returned[poller], returned[pauser]);
    fflush(stdout);
}

static void *give_up(void *unused) {
    sleep(50);
    print("stuck");
    _exit(1);
    return unused;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    queued = atol(arguments[1]);
    single = atol(arguments[2]);
    struct sigaction action = {.sa_handler = handle};
    sigaction(SIGRTMIN, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    for (long i = 0; i < kinds; i++) pthread_create(&threads[i], NULL, live, (void *)i);
    while (prepared < kinds) usleep(1000);
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) return 1;
    pthread_t senders[kinds], guard;
    pthread_create(&guard, NULL, give_up, NULL);
    for (long i = 0; i < kinds; i++)
        pthread_create(&senders[i], NULL, i < poller ? send_queued : send_single, (void *)i);
    for (int i = 0; i < kinds; i++) pthread_join(senders[i], NULL);
    print("done");
    while (getchar() != EOF) {}
    return 0;
}
