// Its first constructor, its main and, where there is one, its library's constructor
// tell what they are given: 1 is the old code, 2 a patch, 3 a second one.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) int answer(const char *who) {
    __asm__ volatile("" : : "r"(who));
    return 1;
}

#ifdef LIBRARY
extern int library_answer(void);
#endif

static int first;

__attribute__((constructor(101))) static void begin(void) { first = answer("constructor"); }

int main(int count, char **arguments) {
    printf("constructor %d main %d", first, answer("main"));
#ifdef LIBRARY
    extern int library_first;
    printf(" library %d %d", library_first, library_answer());
#endif
    for (int index = 1; index < count; index++) printf(" [%s]", arguments[index]);
    printf("\n");
    fflush(stdout);
    // So that it can be looked at, until its input ends.
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    return 42;
}
