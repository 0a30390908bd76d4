// Leaves a pointer to a function of its own in the program's data.
#include "../uses.h"

#include <stdio.h>

extern void (*hook)(char *answer);

static int hooked;

static void new_hook(char *answer) {
    snprintf(answer, ANSWER_SIZE, "new hook %d", ++hooked);
}

void answer(char *answer) {
    hook = new_hook;
    snprintf(answer, ANSWER_SIZE, "new");
}
