// A process whose memory another one shares for a while.
//   sharer vfork|clone
// Prints "ready PID" of the other process. At a line of input that process ends,
// and "alone" is printed.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int gate[2];
static atomic_int child;
static char stack[65536];

static int wait_at_gate(void *unused) {
    char byte;
    (void)unused;
    _exit(read(gate[0], &byte, 1) == 1 ? 0 : 1);
}

static void *start_vfork(void *unused) {
    // The child sets the number itself: its parent sleeps until it is gone.
    if (vfork() == 0) {
        child = getpid();
        wait_at_gate(NULL);
    }
    return unused;
}

int main(int count, char **arguments) {
    if (count != 2 || pipe(gate)) return 2;
    pthread_t thread;
    if (strcmp(arguments[1], "vfork") == 0) {
        pthread_create(&thread, NULL, start_vfork, NULL);
    } else {
        child = clone(wait_at_gate, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    }
    while (child == 0) usleep(1000);
    printf("ready %d\n", child);
    fflush(stdout);
    if (getchar() == EOF) return 1;
    if (write(gate[1], "", 1) != 1 || waitpid(child, NULL, 0) != child) return 1;
    puts("alone");
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
