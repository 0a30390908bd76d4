// Starts as many threads as its first argument says, which sleep until the end,
// prints "ready", and ends when its input does.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *sleep_on(void *unused) {
    for (;;) pause();
    return unused;
}

int main(int count, char **arguments) {
    int wanted = count > 1 ? atoi(arguments[1]) : 0;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (int i = 0; i < wanted; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &small, sleep_on, NULL) != 0) return 1;
        pthread_setname_np(thread, "sleeper");
    }
    printf("ready %p\n", (void *)main);
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
