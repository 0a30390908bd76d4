// Brings functions, strings, tables of pointers, and variables of its own:
// initialised, zeroed, and of several sizes.
#include "../uses.h"

#include <stdio.h>

static int calls = 1000;
static long history[600];
static const char *const names[] = {"zero", "one", "two"};

static const char *name_zero(void) { return names[0]; }
static const char *name_one(void) { return names[1]; }
static const char *name_two(void) { return names[2]; }
static const char *(*const namers[])(void) = {name_zero, name_one, name_two};

int exported_by_the_fix(int number) {
    return number * 3;
}

void answer(char *answer) {
    history[calls - 1000] = exported_by_the_fix(calls);
    long last = history[calls - 1000];
    const char *name = namers[(calls - 1000) % 3]();
    calls++;
    snprintf(answer, ANSWER_SIZE, "new %d %ld %s", calls, last, name);
}
