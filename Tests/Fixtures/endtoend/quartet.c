// The voices of chorus.h, each on a page of its own, in a program that makes it
// hard: its threads call lead() all the time, and a round whose voices differ is
// mixed.
//   quartet [storm] [headless]
// storm: signals come at 1 kHz, their handlers run on stacks of their own and call
// lead() too, and threads and children of every kind are born without end.
// headless: the first thread has ended.
// Input lines:
//   report    lead N alto N tenor N bass N mixed N: a round of now, and the mixed
//             ones so far, in children too
//   storm     signals N threads N forks N vforks N spawns N clones N failed N
//   fork      "forked PID": a child that serves "children"
//   children  PID:VERSION of each child, of a round of now; 0 where it is mixed
//   exec      runs the program anew, which says "ready" again
//   exit      ends it with exit code 5, from a thread that is not the first
#define _GNU_SOURCE
#include "chorus.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { threads, forks, vforks, spawns, clones, kinds };
static atomic_ulong mixed, signals, failed, births[kinds];
static char *arguments[4];
static pthread_t first;

VOICE int alto(int part) { return 1 + silence(part); }
VOICE int tenor(int part) { return 1 + silence(part); }

VOICE struct voices lead(int part) {
    struct voices round = {1, (short)alto(part), (short)tenor(part), (short)bass(part)};
    return round;
}

static int is_mixed(struct voices round) {
    return round.lead != round.alto || round.lead != round.tenor || round.lead != round.bass;
}

static int sing_once(void) {
    if (!is_mixed(lead(0))) return 1;
    atomic_fetch_add(&mixed, 1);
    return 0;
}

static void handle(int signal) {
    (void)signal;
    sing_once();
    atomic_fetch_add(&signals, 1);
}

// Handlers of this thread run elsewhere than on its stack.
static void use_alternate_stack(void) {
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    if (stack.ss_sp == NULL || sigaltstack(&stack, NULL) != 0) abort();
}

// A signal each millisecond, to this thread or to whichever the kernel chooses.
static void start_timer(int notify) {
    struct sigevent event = {.sigev_notify = notify, .sigev_signo = SIGRTMIN};
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    timer_t timer;
    const struct itimerspec period = {{0, 1000000}, {0, 1000000}};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) abort();
    if (timer_settime(timer, 0, &period, NULL) != 0) abort();
}

static void *sing(void *is_storm) {
    use_alternate_stack();
    if (is_storm) start_timer(SIGEV_THREAD_ID);
    for (;;) {
        sing_once();
        // Most of the time nobody sings.
        for (volatile int i = 0; i < 2000; i++) continue;
    }
    return NULL;
}

static void *sing_and_end(void *unused) {
    sing_once();
    return unused;
}

static int sing_beside(void *unused) {
    (void)unused;
    usleep(2000);
    // In the same memory, so it counts for the parent.
    _exit(sing_once() ? 0 : 1);
}

static pid_t start_child(int kind) {
    static char stack[65536];
    char *true_arguments[] = {(char *)"true", NULL};
    pid_t child;
    switch (kind) {
    case forks:
        child = fork();
        if (child == 0) _exit(sing_once() ? 0 : 1);
        return child;
    case vforks:
        child = vfork();
        if (child == 0) {
            usleep(2000);
            _exit(0);
        }
        return child;
    case spawns:
        return posix_spawn(&child, "/bin/true", NULL, NULL, true_arguments, environ) ? -1 : child;
    default:
        return clone(sing_beside, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    }
}

static void *give_birth(void *unused) {
    use_alternate_stack();
    for (int kind = 0;; kind = (kind + 1) % kinds) {
        int status = 0;
        if (kind == threads) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, sing_and_end, NULL) != 0) abort();
            pthread_join(thread, NULL);
        } else {
            pid_t child = start_child(kind);
            if (child < 0 || waitpid(child, &status, 0) != child) abort();
        }
        atomic_fetch_add(status == 0 ? &births[kind] : &failed, 1);
        usleep(2000);
    }
    return unused;
}

// Children that wait to be asked.
static struct {
    pid_t id;
    int question, answer;
} children[64];
static int child_count;

static void fork_child(void) {
    int question[2], answer[2];
    if (child_count == 64) abort();
    if (pipe2(question, O_CLOEXEC) != 0 || pipe2(answer, O_CLOEXEC) != 0) abort();
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        // Ends when its parent is gone or runs another program.
        close(question[1]);
        for (int i = 0; i < child_count; i++) close(children[i].question);
        char byte;
        while (read(question[0], &byte, 1) == 1) {
            struct voices round = lead(0);
            byte = is_mixed(round) ? 0 : (char)round.lead;
            if (write(answer[1], &byte, 1) != 1) break;
        }
        _exit(0);
    }
    close(question[0]);
    close(answer[1]);
    children[child_count].id = child;
    children[child_count].question = question[1];
    children[child_count++].answer = answer[0];
    printf("forked %d\n", child);
}

static void ask_children(void) {
    for (int i = 0; i < child_count; i++) {
        char byte = 0;
        if (write(children[i].question, "?", 1) != 1 || read(children[i].answer, &byte, 1) != 1)
            abort();
        printf("%d:%d ", children[i].id, byte);
    }
    printf("\n");
}

static void *end(void *unused) {
    exit(5);
    return unused;
}

static void report(void) {
    struct voices round = lead(0);
    printf(
        "lead %d alto %d tenor %d bass %d mixed %lu\n", round.lead, round.alto, round.tenor,
        round.bass, mixed);
}

static void *serve(void *is_headless) {
    if (is_headless) pthread_join(first, NULL);
    puts("ready");
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        pthread_t thread;
        if (strcmp(line, "report\n") == 0) report();
        if (strcmp(line, "storm\n") == 0)
            printf(
                "signals %lu threads %lu forks %lu vforks %lu spawns %lu clones %lu failed %lu\n",
                signals, births[threads], births[forks], births[vforks], births[spawns],
                births[clones], failed);
        if (strcmp(line, "fork\n") == 0) fork_child();
        if (strcmp(line, "children\n") == 0) ask_children();
        if (strcmp(line, "exec\n") == 0) execv("/proc/self/exe", arguments);
        if (strcmp(line, "exit\n") == 0) pthread_create(&thread, NULL, end, NULL);
    }
    exit(0);
    return NULL;
}

int main(int count, char **given) {
    int is_storm = 0, is_headless = 0;
    for (int i = 0; i < count && i < 3; i++) {
        arguments[i] = given[i];
        if (strcmp(given[i], "storm") == 0) is_storm = 1;
        if (strcmp(given[i], "headless") == 0) is_headless = 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigaction(SIGRTMIN, &action, NULL);
    use_alternate_stack();
    first = pthread_self();
    pthread_t thread;
    if (pthread_create(&thread, NULL, sing, is_storm ? &action : NULL) != 0) return 1;
    if (is_storm) {
        start_timer(SIGEV_SIGNAL);
        if (pthread_create(&thread, NULL, give_birth, NULL) != 0) return 1;
    }
    if (!is_headless) serve(NULL);
    if (pthread_create(&thread, NULL, serve, &first) != 0) return 1;
    pthread_exit(NULL);
}
