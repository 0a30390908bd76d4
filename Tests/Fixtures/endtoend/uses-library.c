// The library of the victim of UsesTests.
#include "uses.h"

#include <stdio.h>

int fleet_size = 7;
static __thread int visits = 100;
__thread int library_mark = 5;

int library_fleet_size(void) {
    return fleet_size;
}

static __attribute__((noinline)) int count_visit(void) {
    return ++visits;
}

void library_answer(char *answer) {
    library_mark++;
    snprintf(answer, ANSWER_SIZE, "old %d", count_visit());
}
