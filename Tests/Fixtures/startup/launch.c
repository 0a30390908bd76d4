// Tells its process and the thread that is going to run the program in its arguments,
// waits for a line, and lets it run in the way that the first argument says: `exec`;
// `fail`, behind an execve that fails; `thread`, by a thread other than the first;
// `fork` or `vfork`, by a child, as which it ends then.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char **command;

static void *wait_and_run(void *fails) {
    char byte;
    printf("ready %d %d\n", getpid(), gettid());
    fflush(stdout);
    // Not by stdio, which would read what the program is to read.
    if (read(0, &byte, 1) != 1) _exit(3);
    if (fails) execv("/nonexistent/program", command);
    execv(command[0], command);
    _exit(127);
}

static int end_of(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    const char *way = arguments[1];
    command = arguments + 2;
    if (!strcmp(way, "thread")) {
        pthread_t thread;
        pthread_create(&thread, NULL, wait_and_run, NULL);
        pthread_join(thread, NULL);
    }
    pid_t child = !strcmp(way, "fork") ? fork() : !strcmp(way, "vfork") ? vfork() : 0;
    if (child == 0) wait_and_run(!strcmp(way, "fail") ? arguments : NULL);
    return end_of(child);
}
