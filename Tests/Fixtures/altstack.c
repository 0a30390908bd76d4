// Prints "ready ADDRESS" of a function that is active below a signal handler
// which runs, and stays, on an alternate signal stack: first the first thread's,
// then another's.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_int waiting;

static void stay(int signal) {
    (void)signal;
    waiting++;
    for (;;) pause();
}

__attribute__((noinline)) void interrupted_function(void) {
    raise(SIGUSR1);
    __asm__ volatile("");
}

static void *run(void *unused) {
    stack_t stack = {.ss_size = 65536};
    stack.ss_sp = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sigaltstack(&stack, NULL)) abort();
    interrupted_function();
    return unused;
}

int main(void) {
    struct sigaction action = {.sa_handler = stay, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, run, NULL);
    while (waiting < 1) usleep(1000);
    printf("ready %p\n", (void *)interrupted_function);
    fflush(stdout);
    run(NULL);
    return 0;
}
