// Answers each line with what its functions say. `scale` is static, `limit` is
// a variable of its own.
#include <stdio.h>
#include <string.h>

int limit = 7;
static __thread int calls;

__attribute__((noinline)) static int scale(int value) {
    calls++;
    return value > limit ? limit : value * 2;
}

int (*volatile indirect)(int) = scale;

int main(void) {
    char line[64];
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        int value = 0;
        sscanf(line, "%d", &value);
        int scaled = indirect(value);
        printf("scale %d calls %d\n", scaled, calls);
    }
    return 0;
}
