// Threads or processes that are born and end all the time.
//   storm threads|forks|spawns
// Prints "ready"; answers each line with the number of births so far; ends with
// its input.
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static atomic_long births;
static const char *kind;

static void *end(void *unused) { return unused; }

static void *create(void *unused) {
    for (;;) {
        if (strcmp(kind, "threads") == 0) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, end, NULL) != 0) abort();
            pthread_join(thread, NULL);
        } else {
            pid_t child;
            if (strcmp(kind, "forks") == 0) {
                child = fork();
                if (child == 0) _exit(0);
            } else {
                char *arguments[] = {(char *)"true", NULL};
                if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ)) abort();
            }
            int status;
            if (child < 0 || waitpid(child, &status, 0) != child || status != 0) abort();
        }
        births++;
    }
    return unused;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    kind = arguments[1];
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, create, NULL);
    }
    puts("ready");
    fflush(stdout);
    char question[64];
    while (fgets(question, sizeof question, stdin) != NULL) {
        printf("%ld\n", births);
        fflush(stdout);
    }
    return 0;
}
