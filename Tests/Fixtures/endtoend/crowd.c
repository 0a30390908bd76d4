// As many threads as the argument says wait in dwell(). Commands, one a line, and
// what is printed:
//   ask        what dwell() returns when the main thread calls it
//   leave      how many threads have left it
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int door[2];
static atomic_int inside;

__attribute__((noipa)) const char *dwell(int stays) {
    char byte;
    if (stays) {
        atomic_fetch_add(&inside, 1);
        if (read(door[0], &byte, 1) != 0) abort();
        atomic_fetch_sub(&inside, 1);
    }
    return "old";
}

static void *work(void *unused) {
    (void)unused;
    return (void *)dwell(1);
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    pthread_t *crowd = calloc((size_t)threads, sizeof *crowd);
    if (!crowd || pipe(door) != 0) return 1;
    for (int number = 0; number < threads; number++)
        if (pthread_create(&crowd[number], NULL, work, NULL) != 0) return 1;
    // Only where they are about to come.
    while (atomic_load(&inside) != threads) usleep(100);
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "leave\n") == 0) {
            close(door[1]);
            for (int number = 0; number < threads; number++) pthread_join(crowd[number], NULL);
            printf("%d\n", threads);
        } else {
            puts(dwell(0));
        }
        fflush(stdout);
    }
    return 0;
}
