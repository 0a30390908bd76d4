// A program, and as well a library, of ordinary functions.
#include <stdio.h>
#include <string.h>

static __thread int calls;

__attribute__((noinline)) int plain_work(int value) {
    calls++;
    return value * 3 + calls;
}

static __attribute__((noinline)) int plain_static(const char *text) {
    return (int)strlen(text) + plain_work(2);
}

// Enough cases for a jump table.
__attribute__((noinline)) int plain_switch(int value) {
    switch (value) {
    case 0: return plain_work(11);
    case 1: return plain_work(7) - 2;
    case 2: return plain_static("two");
    case 3: puts("three"); return 3;
    case 4: return plain_work(value) * 5;
    case 5: puts("five"); return plain_static("5");
    case 6: return 66;
    case 7: return plain_static("seven") * 2;
    default: return -1;
    }
}

int main(int count, char **arguments) {
    return plain_switch(count) + plain_static(arguments[0]);
}
