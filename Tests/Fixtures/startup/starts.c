// Starts a command again and again, several at a time, and tells how often it ended with
// which code.
//   starts fork|vfork|spawn|thread TIMES AT_A_TIME COMMAND...
// `thread`: by fork in a thread that ends at once.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char **command;

static pid_t by_fork(void) {
    pid_t child = fork();
    if (child == 0) {
        execv(command[0], command);
        _exit(127);
    }
    return child;
}

static pid_t by_vfork(void) {
    pid_t child = vfork();
    if (child == 0) {
        execv(command[0], command);
        _exit(127);
    }
    return child;
}

static pid_t by_spawn(void) {
    pid_t child;
    return posix_spawn(&child, command[0], NULL, NULL, command, environ) == 0 ? child : -1;
}

static void *fork_there(void *child) {
    *(pid_t *)child = by_fork();
    return NULL;
}

static pid_t by_thread(void) {
    pthread_t thread;
    pid_t child = -1;
    if (pthread_create(&thread, NULL, fork_there, &child) == 0) pthread_join(thread, NULL);
    return child;
}

int main(int count, char **arguments) {
    if (count < 5) return 64;
    const char *way = arguments[1];
    int times = atoi(arguments[2]), most = atoi(arguments[3]);
    command = arguments + 4;
    pid_t (*start)(void) = !strcmp(way, "fork")    ? by_fork
                           : !strcmp(way, "vfork") ? by_vfork
                           : !strcmp(way, "spawn") ? by_spawn
                                                   : by_thread;
    int codes[256] = {0}, started = 0, running = 0;
    while (started < times || running > 0) {
        if (started < times && running < most) {
            if (start() < 0) return 1;
            started++;
            running++;
            continue;
        }
        int status;
        if (wait(&status) < 0) {
            if (errno == EINTR) continue;
            return 1;
        }
        running--;
        codes[WIFEXITED(status) ? WEXITSTATUS(status) : 255]++;
    }
    for (int code = 0; code < 256; code++)
        if (codes[code]) printf("%d times %d\n", codes[code], code);
    return 0;
}
