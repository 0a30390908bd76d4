// Uses thread-local variables of the program, a static and an exported one.
#include "../uses.h"

#include <stdio.h>

extern __thread int mark;
extern __thread int exported_mark;

void answer(char *answer) {
    mark++;
    snprintf(answer, ANSWER_SIZE, "new %d %d", mark, exported_mark);
}
