// Work of its own before and after that of the program.
#include <hotpatch.h>

static int before, after;

int work(int x) {
    before++;
    const int result = HOTPATCH_ORIGINAL(work)(x);
    after++;
    return result + 1000;
}

static int chain(int depth) {
    return HOTPATCH_ORIGINAL(chain)(depth) + 1;
}

int kind(int x) {
    int (*original)(int) = HOTPATCH_ORIGINAL(kind);
    return original(x) + 100;
}
