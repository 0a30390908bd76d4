// A thread of its own stays inside linger() until it is told to leave.
// Commands, one a line, and what is printed:
//   sleep      entered TID      it sleeps inside the function
//   untabled   entered TID      it sleeps inside the function, below a frame that
//                               no unwind table knows
//   spin       entered TID      it runs inside the function
//   interrupt  interrupted      it is in a signal handler, on another stack
//   resume     resumed          the handler has returned
//   leave      what linger() returned
//   ask        what linger() returns when the main thread calls it
// With the argument "inner" its signal stack lies within its own stack.
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum mode { RETURN, SLEEP, UNTABLED, SPIN };

// read(2) without unwind information: rbp is still the caller's.
long untabled_read(int file, void *buffer, size_t size);
__asm__(".text\n"
        ".type untabled_read, @function\n"
        "untabled_read:\n"
        "    xorl %eax, %eax\n"
        "    syscall\n"
        "    ret\n"
        ".size untabled_read, . - untabled_read\n");


static enum mode mode;
static atomic_int inside, left, in_handler;
static atomic_int thread_id;
static int wants_inner_stack;
static const char *result;
static int door[2], handler_door[2];
static sem_t start, end;

__attribute__((noipa)) const char *linger(enum mode how) {
    char byte;
    atomic_store(&inside, 1);
    if (how == SLEEP && read(door[0], &byte, 1) != 1) abort();
    if (how == UNTABLED && untabled_read(door[0], &byte, 1) != 1) abort();
    while (how == SPIN && !atomic_load(&left)) {}
    atomic_store(&inside, 0);
    return "old";
}

static void stay_in_handler(int signal) {
    (void)signal;
    char byte;
    atomic_store(&in_handler, 1);
    if (read(handler_door[0], &byte, 1) != 1) abort();
    atomic_store(&in_handler, 0);
}

static void *work(void *unused) {
    (void)unused;
    pthread_setname_np(pthread_self(), "lingerer");
    char inner[65536];
    stack_t other = {.ss_sp = wants_inner_stack ? inner : malloc(65536), .ss_size = 65536};
    sigaltstack(&other, NULL);
    atomic_store(&thread_id, gettid());
    for (;;) {
        while (sem_wait(&start) != 0) {}
        result = linger(mode);
        sem_post(&end);
    }
    return NULL;
}

// Only where the other thread is about to do it.
static void await(atomic_int *flag, int value) {
    while (atomic_load(flag) != value) usleep(100);
}

static void enter(enum mode how) {
    mode = how;
    atomic_store(&left, 0);
    sem_post(&start);
    await(&inside, 1);
    printf("entered %d\n", atomic_load(&thread_id));
}

static void serve(const char *command, pthread_t worker) {
    if (strcmp(command, "sleep") == 0) {
        enter(SLEEP);
    } else if (strcmp(command, "untabled") == 0) {
        enter(UNTABLED);
    } else if (strcmp(command, "spin") == 0) {
        enter(SPIN);
    } else if (strcmp(command, "interrupt") == 0) {
        pthread_kill(worker, SIGUSR1);
        await(&in_handler, 1);
        puts("interrupted");
    } else if (strcmp(command, "resume") == 0) {
        if (write(handler_door[1], "", 1) != 1) abort();
        await(&in_handler, 0);
        puts("resumed");
    } else if (strcmp(command, "leave") == 0) {
        atomic_store(&left, 1);
        if (mode != SPIN && write(door[1], "", 1) != 1) abort();
        while (sem_wait(&end) != 0) {}
        puts(result);
    } else {
        puts(linger(RETURN));
    }
    fflush(stdout);
}

int main(int count, char **arguments) {
    wants_inner_stack = count > 1 && strcmp(arguments[1], "inner") == 0;
    struct sigaction action = {.sa_handler = stay_in_handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    if (pipe(door) != 0 || pipe(handler_door) != 0) return 1;
    sem_init(&start, 0, 0);
    sem_init(&end, 0, 0);
    pthread_t worker;
    if (pthread_create(&worker, NULL, work, NULL) != 0) return 1;
    while (atomic_load(&thread_id) == 0) usleep(100);
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        serve(line, worker);
    }
    return 0;
}
