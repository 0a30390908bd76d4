// A program that asks for its answer twice: before main, and in it. Its exit code says
// what it was told, 10 times the first and the second; 1 is the answer as compiled.
//   early         ends at once
//   With REQUIRES_ROOT, it ends with 99 where it has not become root by its setuid bit.
//   early serve   answers each line with a digest of both, until its input ends
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) int answer(void) {
    __asm__ volatile("" ::: "memory");
    return 1;
}

static int first;

__attribute__((constructor)) static void before_main(void) { first = answer(); }

int main(int count, char **arguments) {
#ifdef REQUIRES_ROOT
    if (geteuid() != 0) return 99;
#endif
    if (count < 2 || strcmp(arguments[1], "serve") != 0) return 10 * first + answer();
    char line[64];
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%d\n", 10 * first + answer());
        fflush(stdout);
    }
    return 0;
}
