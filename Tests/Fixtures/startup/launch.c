// Waits for a line, then runs a program in the way that its first argument says:
// `exec`, `fork`, `spawn`, `vfork`, or `thread`, from a thread other than the first.
// `fail` tries one that is not there before. It waits for children and ends as they do.
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char **command;

static void *run(void *unused) {
    (void)unused;
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
    char line[16];
    if (count < 3) return 2;
    const char *way = arguments[1];
    command = arguments + 2;
    puts("ready");
    fflush(stdout);
    // Not by stdio, which would read what the program is to read.
    if (read(0, line, 1) != 1) return 3;
    if (!strcmp(way, "exec")) run(NULL);
    if (!strcmp(way, "fail")) {
        execv("/nonexistent/program", command);
        run(NULL);
    }
    if (!strcmp(way, "thread")) {
        pthread_t thread;
        pthread_create(&thread, NULL, run, NULL);
        pthread_join(thread, NULL);
    }
    pid_t child = -1;
    if (!strcmp(way, "fork") && (child = fork()) == 0) run(NULL);
    if (!strcmp(way, "vfork") && (child = vfork()) == 0) run(NULL);
    if (!strcmp(way, "spawn") && posix_spawn(&child, command[0], NULL, NULL, command, environ))
        return 4;
    return end_of(child);
}
