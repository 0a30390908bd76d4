// Two voices, each in a library that is loaded at run time and may go again.
//   pair ONE TWO
// Input lines, each answered with one line:
//   report        "one N two N": what the voices that are loaded sing; 0 for one that
//                 is gone
//   fork          "forked PID": from now on a child answers, its parent waits for it
//   close         "closed": the first library is unloaded
//   load PATH     "loaded": another library
//   space PATH    "loaded": another library, with all that it needs, in a name space
//                 of its own
//   unload        "unloaded": that library goes
//   zero ADDRESS  "zeroed": 64 bytes there are overwritten
//   seal ADDRESS  "sealed": the page there can only be read
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void *libraries[2], *another;
static int (*voices[2])(int);

static void *open_library(const char *path, Lmid_t space) {
    void *library = dlmopen(space, path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        abort();
    }
    return library;
}

static void continue_in_child(void) {
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        printf("forked %d\n", getpid());
        return;
    }
    waitpid(child, NULL, 0);
    _exit(0);
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count != 3) return 2;
    const char *names[] = {"one", "two"};
    for (int i = 0; i < 2; i++) {
        libraries[i] = open_library(arguments[i + 1], LM_ID_BASE);
        voices[i] = (int (*)(int))dlsym(libraries[i], names[i]);
        if (voices[i] == NULL) return 2;
    }
    puts("ready");
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *space = strchr(line, ' '), *rest = space ? space + 1 : line;
        if (space) *space = 0;
        if (strcmp(line, "report") == 0) {
            int one = voices[0] ? voices[0](0) : 0;
            printf("one %d two %d\n", one, voices[1](0));
        } else if (strcmp(line, "fork") == 0) {
            continue_in_child();
        } else if (strcmp(line, "close") == 0) {
            voices[0] = NULL;
            dlclose(libraries[0]);
            puts("closed");
        } else if (strcmp(line, "load") == 0) {
            another = open_library(rest, LM_ID_BASE);
            puts("loaded");
        } else if (strcmp(line, "space") == 0) {
            another = open_library(rest, LM_ID_NEWLM);
            puts("loaded");
        } else if (strcmp(line, "unload") == 0) {
            dlclose(another);
            puts("unloaded");
        } else if (strcmp(line, "zero") == 0) {
            memset((void *)strtoull(rest, NULL, 16), 0, 64);
            puts("zeroed");
        } else if (strcmp(line, "seal") == 0) {
            if (mprotect((void *)strtoull(rest, NULL, 16), 4096, PROT_READ) != 0) abort();
            puts("sealed");
        }
    }
    return 0;
}
