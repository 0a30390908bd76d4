// Starts a program again and again, and tells how it went.
//   starter WAY COUNT PARALLEL PROGRAM [ARGUMENT]
// WAY: fork     fork and execve
//      spawn    posix_spawn
//      thread   fork, and execve by a thread that is not the first
//      failing  an execve that fails behind the point where the file is opened
//      blocked  fork and execve with all signals blocked
//      killed   fork and execve, and SIGKILL at some moment of it
//      traced   fork and execve under a tracer, which lets it go on
// Writes a line "code N: COUNT" for each way in which the program ended (256 and more:
// by a signal; 200: execve failed), then "slowest N µs", "median N µs": from before the
// start to the end of the program.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *way, *program;
static char *arguments[3];
static int count;
static atomic_int next, codes[512];
static long *times;

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000L + time.tv_nsec / 1000;
}

static void *run(void *unused) {
    (void)unused;
    execve(program, arguments, environ);
    _exit(200);
}

/// What no execve takes: one argument of more than MAX_ARG_STRLEN bytes.
static void run_in_vain(void) {
    static char long_argument[200000];
    memset(long_argument, 'x', sizeof long_argument - 1);
    arguments[1] = long_argument;
    run(NULL);
}

static int is(const char *name) { return strcmp(way, name) == 0; }

static pid_t start(int number) {
    pid_t child;
    if (is("spawn")) {
        return posix_spawn(&child, program, NULL, NULL, arguments, environ) == 0 ? child : -1;
    }
    child = fork();
    if (child != 0) {
        if (is("killed")) {
            usleep((useconds_t)(number * 37 % 800));
            kill(child, SIGKILL);
        }
        return child;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (is("failing")) run_in_vain();
    if (is("traced")) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    if (is("blocked")) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
    }
    if (is("thread")) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, run, NULL) != 0) _exit(201);
        while (1) pause();
    }
    run(NULL);
    return 0;
}

static void *work(void *unused) {
    (void)unused;
    int number;
    while ((number = atomic_fetch_add(&next, 1)) < count) {
        long began = now();
        pid_t child = start(number);
        int status;
        do {
            if (child < 0 || waitpid(child, &status, 0) != child) {
                perror("cannot start");
                exit(1);
            }
            if (WIFSTOPPED(status)) ptrace(PTRACE_CONT, child, NULL, NULL);
        } while (WIFSTOPPED(status));
        times[number] = now() - began;
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
        atomic_fetch_add(&codes[code], 1);
    }
    return NULL;
}

static int compare(const void *left, const void *right) {
    long a = *(const long *)left, b = *(const long *)right;
    return (a > b) - (a < b);
}

int main(int argument_count, char **given) {
    if (argument_count < 5) return 64;
    way = given[1];
    count = atoi(given[2]);
    program = arguments[0] = given[4];
    arguments[1] = argument_count > 5 ? given[5] : NULL;
    times = calloc((size_t)count, sizeof *times);
    int parallel = atoi(given[3]);
    pthread_t threads[parallel];
    for (int index = 0; index < parallel; index++) {
        pthread_create(&threads[index], NULL, work, NULL);
    }
    for (int index = 0; index < parallel; index++) pthread_join(threads[index], NULL);
    for (int code = 0; code < 512; code++) {
        if (codes[code] > 0) printf("code %d: %d\n", code, codes[code]);
    }
    qsort(times, (size_t)count, sizeof *times, compare);
    printf("slowest %ld µs\nmedian %ld µs\n", times[count - 1], times[count / 2]);
    return 0;
}
