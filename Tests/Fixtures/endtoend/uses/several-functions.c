// Replaces two functions, one of which calls the other, and calls a third that
// stays as it is.
#include "../uses.h"

#include <stdio.h>

int open_config(const char *path);
long sum(int a, long b, char c, short d, int e, int f, long g, int h, double i, char j);

int add_secret(int number) {
    return number + 1000;
}

void answer(char *answer) {
    snprintf(answer, ANSWER_SIZE, "new %d %d %ld", add_secret(1), open_config("four"),
             sum(1, 1, 1, 1, 1, 1, 1, 1, 1, 1));
}
