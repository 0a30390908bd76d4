// A thread of its own, 'walker', whose stack tells different things. The main
// thread is in a loop that has no end. Commands, one a line, and what is printed:
//   deep N     entered TID      it sleeps below N calls of descend()
//   apart N    entered TID      the same, but in a coroutine whose stack is elsewhere
//   below N    entered TID      the same, but that stack ends where its own begins
//   stale      entered TID      it sleeps where descend() has been and has returned,
//                               with what that left on the stack
//   clock      entered TID      the same, but it asks for the time all the while
//   interrupt  interrupted      it is in a signal handler, on another stack
//   resume     resumed          the handler has returned
//   leave      what the walk came to
//   ask        what descend() returns when the main thread calls it
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { STACK_SIZE = 1 << 20 };

static atomic_int inside, left, in_handler;
static int door[2], handler_door[2];
static char how[16];
static long depth, result;
static pid_t thread_id;
static sem_t start, end;
// The coroutine's stack and the thread's own, in one mapping.
static char *stacks;
static char stack_elsewhere[65536];
static ucontext_t own, coroutine;

static int is(const char *mode) { return strcmp(how, mode) == 0; }

static void wait_at_door(void) {
    char byte;
    atomic_store(&inside, 1);
    if (read(door[0], &byte, 1) != 1) abort();
    atomic_store(&inside, 0);
}

void run_coroutine(void) {
    wait_at_door();
    setcontext(&own);
}

// Says that nobody called it, as a thread's first function does.
void coroutine_entry(void);
__asm__(".text\n"
        ".type coroutine_entry, @function\n"
        "coroutine_entry:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined rip\n"
        "    call run_coroutine\n"
        "    ud2\n"
        "    .cfi_endproc\n"
        ".size coroutine_entry, . - coroutine_entry\n");

static void wait_elsewhere(void) {
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = is("below") ? stacks + STACK_SIZE - 65536 : stack_elsewhere;
    coroutine.uc_stack.ss_size = sizeof stack_elsewhere;
    makecontext(&coroutine, coroutine_entry, 0);
    swapcontext(&own, &coroutine);
}

// Returns how deep it went; at the bottom of a dive it waits.
__attribute__((noipa)) long descend(long rest, void (*at_bottom)(void)) {
    if (rest == 0) {
        if (at_bottom) at_bottom();
        return 0;
    }
    long deeper = descend(rest - 1, at_bottom);
    // Keeps the compiler from making a loop of it.
    __asm__ volatile("" : "+r"(deeper));
    return deeper + 1;
}

// Its frame covers what descend() left and is not written.
__attribute__((noipa)) void rest_on_leftovers(void) {
    char room[65536];
    __asm__ volatile("" : : "r"(room) : "memory");
    if (is("stale")) {
        wait_at_door();
    } else {
        atomic_store(&inside, 1);
        struct timespec now;
        while (!atomic_load(&left)) clock_gettime(CLOCK_MONOTONIC, &now);
        atomic_store(&inside, 0);
    }
    __asm__ volatile("" : : "r"(room) : "memory");
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
    pthread_setname_np(pthread_self(), "walker");
    stack_t other = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigaltstack(&other, NULL);
    thread_id = gettid();
    sem_post(&end);
    for (;;) {
        while (sem_wait(&start) != 0) {}
        if (is("deep")) {
            result = descend(depth, wait_at_door);
        } else if (is("apart") || is("below")) {
            result = descend(depth, wait_elsewhere);
        } else {
            result = descend(depth, NULL);
            rest_on_leftovers();
        }
        sem_post(&end);
    }
    return NULL;
}

static void await_worker(void) {
    while (sem_wait(&end) != 0) {}
}

// Only where the other thread is about to do it.
static void await(atomic_int *flag, int value) {
    while (atomic_load(flag) != value) usleep(100);
}

static void enter(void) {
    atomic_store(&left, 0);
    sem_post(&start);
    await(&inside, 1);
    printf("entered %d\n", thread_id);
}

// The main loop: nothing in it returns.
__attribute__((noipa, noreturn)) void serve(pthread_t worker) {
    for (;;) {
        char line[64];
        if (!fgets(line, sizeof line, stdin)) exit(0);
        if (strcmp(line, "interrupt\n") == 0) {
            pthread_kill(worker, SIGUSR1);
            await(&in_handler, 1);
            puts("interrupted");
        } else if (strcmp(line, "resume\n") == 0) {
            if (write(handler_door[1], "", 1) != 1) abort();
            await(&in_handler, 0);
            puts("resumed");
        } else if (strcmp(line, "leave\n") == 0) {
            atomic_store(&left, 1);
            if (!is("clock") && write(door[1], "", 1) != 1) abort();
            await_worker();
            printf("%ld\n", result);
        } else if (strcmp(line, "ask\n") == 0) {
            printf("%ld\n", descend(0, NULL));
        } else {
            depth = 100;
            sscanf(line, "%15s %ld", how, &depth);
            enter();
        }
        fflush(stdout);
    }
}

int main(void) {
    struct sigaction action = {.sa_handler = stay_in_handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    if (pipe(door) != 0 || pipe(handler_door) != 0) return 1;
    sem_init(&start, 0, 0);
    sem_init(&end, 0, 0);
    stacks = mmap(
        NULL, 2 * STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1, 0);
    if (stacks == MAP_FAILED) return 1;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stacks + STACK_SIZE, STACK_SIZE);
    pthread_t worker;
    if (pthread_create(&worker, &attributes, work, NULL) != 0) return 1;
    await_worker();
    puts("ready");
    fflush(stdout);
    serve(worker);
}
