// Replaces itself by itself all the time, from its first thread and from another
// in turn. Prints "ready" once, and its generation at each line of input; ends
// with its input.
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char generation[32];
static char *program;

static void *replace(void *unused) {
    char *arguments[] = {program, generation, NULL};
    execv("/proc/self/exe", arguments);
    abort();
    return unused;
}

static void *idle(void *unused) {
    for (;;) pause();
    return unused;
}

int main(int count, char **arguments) {
    long number = count > 1 ? atol(arguments[1]) : 0;
    program = arguments[0];
    snprintf(generation, sizeof generation, "%ld", number + 1);
    if (number == 0) puts("ready");
    pthread_t threads[3];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, idle, NULL);
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, 1) > 0) {
        char byte;
        if (read(STDIN_FILENO, &byte, 1) != 1) return 0;
        printf("%ld\n", number);
    }
    fflush(stdout);
    if (number % 2) replace(NULL);
    pthread_create(&threads[2], NULL, replace, NULL);
    for (;;) pause();
}
