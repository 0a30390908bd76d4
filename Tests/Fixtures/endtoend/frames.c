// A thread of its own, 'walker', whose stack tells different things. The main
// thread is in a loop that has no end. Commands, one a line, and what is printed:
//   deep N     entered TID      it sleeps below N calls of descend()
//   stale      entered TID      it sleeps where descend() has been and has returned,
//                               with what that left on the stack
//   clock      entered TID      the same, but it asks for the time all the while
//   leave      what the walk came to
//   ask        what descend() returns when the main thread calls it
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int inside, left;
static int door[2];
static long depth;
static char how;
static long result;
static pid_t thread_id;
static sem_t start, end;

static void wait_at_door(void) {
    char byte;
    atomic_store(&inside, 1);
    if (read(door[0], &byte, 1) != 1) abort();
    atomic_store(&inside, 0);
}

// Returns how deep it went; at the bottom of a dive it waits.
__attribute__((noipa)) long descend(long rest, int waits) {
    if (rest == 0) {
        if (waits) wait_at_door();
        return 0;
    }
    long deeper = descend(rest - 1, waits);
    // Keeps the compiler from making a loop of it.
    __asm__ volatile("" : "+r"(deeper));
    return deeper + 1;
}

// Its frame covers what descend() left and is not written.
__attribute__((noipa)) void rest_on_leftovers(int asks_time) {
    char room[65536];
    __asm__ volatile("" : : "r"(room) : "memory");
    if (!asks_time) {
        wait_at_door();
    } else {
        atomic_store(&inside, 1);
        struct timespec now;
        while (!atomic_load(&left)) clock_gettime(CLOCK_MONOTONIC, &now);
        atomic_store(&inside, 0);
    }
    __asm__ volatile("" : : "r"(room) : "memory");
}

static void *work(void *unused) {
    (void)unused;
    pthread_setname_np(pthread_self(), "walker");
    thread_id = gettid();
    sem_post(&end);
    for (;;) {
        while (sem_wait(&start) != 0) {}
        result = descend(depth, how == 'd');
        if (how != 'd') rest_on_leftovers(how == 'c');
        sem_post(&end);
    }
    return NULL;
}

static void await_worker(void) {
    while (sem_wait(&end) != 0) {}
}

static void enter(char mode, long levels) {
    how = mode;
    depth = levels;
    atomic_store(&left, 0);
    sem_post(&start);
    while (!atomic_load(&inside)) usleep(100);
    printf("entered %d\n", thread_id);
}

// The main loop: nothing in it returns.
__attribute__((noipa, noreturn)) void serve(void) {
    for (;;) {
        char line[64];
        if (!fgets(line, sizeof line, stdin)) exit(0);
        if (strncmp(line, "deep ", 5) == 0) {
            enter('d', atol(line + 5));
        } else if (strcmp(line, "stale\n") == 0) {
            enter('s', 100);
        } else if (strcmp(line, "clock\n") == 0) {
            enter('c', 100);
        } else if (strcmp(line, "leave\n") == 0) {
            atomic_store(&left, 1);
            if (how != 'c' && write(door[1], "", 1) != 1) abort();
            await_worker();
            printf("%ld\n", result);
        } else {
            printf("%ld\n", descend(0, 0));
        }
        fflush(stdout);
    }
}

int main(void) {
    if (pipe(door) != 0) return 1;
    sem_init(&start, 0, 0);
    sem_init(&end, 0, 0);
    pthread_attr_t large;
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, 16 << 20);
    pthread_t worker;
    if (pthread_create(&worker, &large, work, NULL) != 0) return 1;
    await_worker();
    puts("ready");
    fflush(stdout);
    serve();
}
