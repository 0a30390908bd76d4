// Dumps a core that takes its time: a great part of its memory was never touched,
// which the kernel looks through page by page and leaves out of the file.
//   dumper DIRECTORY
// Prints "ready"; at "dump" it writes its core to DIRECTORY and ends by SIGABRT.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

__attribute__((noipa)) const char *answer(void) {
    return "old";
}

int main(int count, char **arguments) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    if (count != 2 || chdir(arguments[1]) != 0) return 2;
    if (setrlimit(RLIMIT_CORE, &limit) != 0) return 1;
    char *memory = mmap(
        NULL, 1UL << 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
        0);
    if (memory == MAP_FAILED) return 1;
    // Where nothing was ever written, nothing would be looked through.
    memory[0] = 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "dump\n") == 0) abort();
        puts(answer());
    }
    return 0;
}
