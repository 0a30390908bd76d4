// Starts programs in turns, and writes for each start which it was, the nanoseconds
// from before the start to its end, and what it ended with.
//   starts ROUNDS PROGRAM...
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

int main(int count, char **arguments) {
    if (count < 3) return 64;
    int rounds = atoi(arguments[1]);
    for (int round = 0; round < rounds; round++) {
        for (int index = 2; index < count; index++) {
            // What others do after a start is none of the next one's time.
            usleep(3000);
            char *words[] = {arguments[index], NULL};
            pid_t child;
            int status;
            long began = now();
            if (posix_spawn(&child, words[0], NULL, NULL, words, environ) != 0) return 1;
            if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 1;
            printf("%d %ld %d\n", index - 2, now() - began, WEXITSTATUS(status));
        }
    }
    return 0;
}
