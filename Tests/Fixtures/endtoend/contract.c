// Callers rely on what the compiler saw of a local function (gcc -fipa-ra).
// "weigh" prints what a caller works out with a value that it keeps over the
// call; "align" what one does that leaves the stack as it found it.
#include <stdio.h>
#include <string.h>

static int limit = 100;

// Changes eax and the flags, so that its callers keep values in all others.
static __attribute__((noinline)) int clamp(int value) {
    return value > limit ? limit : value;
}

// Keeps `weight` where it came, in rsi: clamp() does not touch that.
__attribute__((noipa)) long weigh(int value, long weight) {
    return clamp(value) + weight;
}

// Needs no stack of its own, and knows that clamp() needs none either.
__attribute__((noipa)) int clamp_plainly(int value) {
    return clamp(value) + 1;
}

int main(int count, char **arguments) {
    (void)arguments;
    limit *= count; // so that it is no constant
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "weigh\n") == 0)
            printf("%ld\n", weigh(90, 7000));
        else
            printf("%d\n", clamp_plainly(90));
        fflush(stdout);
    }
    return 0;
}
