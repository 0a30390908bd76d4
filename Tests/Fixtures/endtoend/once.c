// Threads, a signal handler and forked children that call functions with arguments in
// every kind of register and on the stack. A fix has something to do before the first
// of these calls (once-fix.c) and tells it here.
//
// 'r': how often that was done, was found undone, and how often an argument was wrong;
// 'm': waits until every thread has gone on.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "once.h"

enum { THREADS = 4 };

int applied, undone;
static long rounds[THREADS + 1];
static int wrong;

__attribute__((noinline, noipa)) long step(long a, long b, long c, long d, long e, long f, long g,
                                           long h, double p, double q)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + (long)(9 * p + 10 * q);
}

__attribute__((noinline, noipa, target("avx"))) long wide(quad values)
{
    return (long)(values[0] + 2 * values[1] + 3 * values[2] + 4 * values[3]);
}

// By their addresses: direct callers may rely on more than the psABI.
static long (*volatile call_step)(long, long, long, long, long, long, long, long, double,
                                  double) = step;
static long (*volatile call_wide)(quad) = wide;

static int is_right(long a)
{
    long result = call_step(a, 1, 2, 3, 4, 5, 6, 7, 8.0, 9.0);
    long expected = a + 2 + 6 + 12 + 20 + 30 + 42 + 56 + 72 + 90;
    return result == expected || result == expected + NEW;
}

__attribute__((target("avx"))) static int is_right_wide(double a)
{
    quad values = { a, 1, 2, 3 };
    long result = call_wide(values);
    long expected = (long)a + 2 + 6 + 12;
    return result == expected || result == expected + NEW;
}

static void call_once(long number)
{
    if (!is_right(number) || (__builtin_cpu_supports("avx") && !is_right_wide((double)number)))
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

static void *work(void *argument)
{
    long number = (long)argument;
    for (long round = 0;; round++) {
        call_once(round);
        __atomic_fetch_add(&rounds[number], 1, __ATOMIC_RELAXED);
        usleep(100);
    }
    return NULL;
}

static void *fork_on(void *argument)
{
    (void)argument;
    for (;;) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            _exit(is_right(77) ? 0 : 1);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&rounds[THREADS], 1, __ATOMIC_RELAXED);
        usleep(1000);
    }
    return NULL;
}

static void on_alarm(int number)
{
    call_once(number);
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    struct itimerval often = { { 0, 2000 }, { 0, 2000 } };
    pthread_t thread;
    char line[64];
    for (long number = 0; number < THREADS; number++)
        pthread_create(&thread, NULL, work, (void *)number);
    pthread_create(&thread, NULL, fork_on, NULL);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == 'm') {
            long before[THREADS + 1];
            for (int number = 0; number <= THREADS; number++)
                before[number] = __atomic_load_n(&rounds[number], __ATOMIC_RELAXED);
            for (int number = 0; number <= THREADS; number++)
                while (__atomic_load_n(&rounds[number], __ATOMIC_RELAXED) < before[number] + 3)
                    sched_yield();
            puts("gone on");
        } else {
            printf("applied %d, undone %d, wrong %d\n", applied, undone, wrong);
        }
        fflush(stdout);
    }
    _exit(0);
}
