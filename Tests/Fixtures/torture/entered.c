// A function whose first instructions are a call that waits: a thread that came in
// by way of them is on its way back to them. Prints "ready"; a line "enter" makes
// it call the function, which says "inside", waits for another line, and then asks
// another function of another page. The answer is the version: 1, what a fix says,
// or MIXED where the old one has called a new one.
#include <stdio.h>
#define VERSION 1
#include "versions.h"

static char line[64];

__attribute__((noipa)) void wait_inside(void) {
    puts("inside");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) line[0] = 0;
}

__attribute__((noipa, aligned(4096))) int other(void) { return VERSION; }
__attribute__((noipa, aligned(4096))) int outer(void) {
    wait_inside();
    return other() == VERSION ? VERSION : MIXED;
}

int main(void) {
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%d\n", outer());
        fflush(stdout);
    }
    return 0;
}
