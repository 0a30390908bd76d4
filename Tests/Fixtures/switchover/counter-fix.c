// Uses a variable of the base, a thread-local one, a string of its own, and
// functions of libc, of which memcpy and strlen are IFUNC symbols.
#include <stdio.h>
#include <string.h>

extern int limit;
extern __thread int calls;
static int applied;

int scale(int value) {
    volatile size_t length = 6;
    char text[16];
    memcpy(text, "fixed", length);
    calls += 10;
    applied++;
    fprintf(stdout, "%s %zu limit %d applied %d\n", text, strlen(text), limit, applied);
    return -value;
}
