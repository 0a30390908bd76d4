// The voices of chorus.h in a program whose memory another process shares.
//   lodger vfork|spawn|clone GATE
// The other one stands before its execve, or calls lead() without end, until a
// line is read; GATE is the path of a pipe that is made for that. Input lines:
//   report   lead N alto N tenor N bass N mixed N: a round of now, and the mixed
//            ones so far, those of the clone included
//   open     lets the other one go on and end, and says "the other ended well"
#define _GNU_SOURCE
#include "chorus.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *kind, *gate;
static atomic_int child, host_thread;
static atomic_ulong mixed;
static atomic_bool is_open;
static char stack[65536];

VOICE int alto(int part) { return 1 + silence(part); }
VOICE int tenor(int part) { return 1 + silence(part); }

VOICE struct voices lead(int part) {
    struct voices round = {1, (short)alto(part), (short)tenor(part), (short)bass(part)};
    return round;
}

static struct voices sing_once(void) {
    struct voices round = lead(0);
    if (round.lead != round.alto || round.lead != round.tenor || round.lead != round.bass) mixed++;
    return round;
}

// In this memory, as a process of its own.
static int lodge(void *unused) {
    (void)unused;
    while (!is_open) sing_once();
    _exit(0);
}

// The parent's thread sleeps until its child runs another program.
static void *host(void *unused) {
    char *arguments[] = {(char *)"true", NULL};
    pid_t id = 0;
    host_thread = gettid();
    if (strcmp(kind, "spawn") == 0) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        // Opened before the execve; that waits until somebody writes there.
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, gate, O_RDONLY, 0);
        if (posix_spawn(&id, "/bin/true", &actions, NULL, arguments, environ) != 0) abort();
    } else {
        id = vfork();
        if (id == 0) {
            open(gate, O_RDONLY);
            execv("/bin/true", arguments);
            _exit(1);
        }
    }
    child = id;
    return unused;
}

static int is_there(void) {
    if (child != 0) return 1;
    char path[64], text[16];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", host_thread);
    FILE *children = fopen(path, "r");
    if (children == NULL) return 0;
    int found = fgets(text, sizeof text, children) != NULL;
    fclose(children);
    return found;
}

static void let_it_end(void) {
    int end;
    is_open = 1;
    if (strcmp(kind, "clone") != 0) {
        int writer = open(gate, O_WRONLY);
        while (child == 0) usleep(1000);
        close(writer);
    }
    if (waitpid(child, &end, 0) != child) abort();
    puts(end == 0 ? "the other ended well" : "the other did not end well");
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    kind = arguments[1];
    gate = arguments[2];
    if (mkfifo(gate, 0600) != 0) return 1;
    pthread_t thread;
    if (strcmp(kind, "clone") == 0) {
        child = clone(lodge, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
        if (child < 0) return 1;
    } else if (pthread_create(&thread, NULL, host, NULL) != 0) {
        return 1;
    }
    while (!is_there()) usleep(1000);
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        struct voices round = sing_once();
        if (strcmp(line, "open\n") == 0) let_it_end();
        else
            printf(
                "lead %d alto %d tenor %d bass %d mixed %lu\n", round.lead, round.alto,
                round.tenor, round.bass, mixed);
    }
    return 0;
}
