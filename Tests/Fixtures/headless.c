// A process whose first thread has ended while others run. Prints "ready", and
// answers each line with "alive".
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_t first;

static void *answer(void *unused) {
    pthread_join(first, NULL);
    puts("ready");
    fflush(stdout);
    int next;
    while ((next = getchar()) != EOF) {
        if (next != '\n') continue;
        puts("alive");
        fflush(stdout);
    }
    exit(0);
    return unused;
}

int main(void) {
    pthread_t thread;
    first = pthread_self();
    pthread_create(&thread, NULL, answer, NULL);
    pthread_exit(NULL);
}
