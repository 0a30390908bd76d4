// Uses a static function and writes a static variable of the base.
#include "../uses.h"

#include <stdio.h>

extern int secret;
int add_secret(int number);

void answer(char *answer) {
    secret++;
    snprintf(answer, ANSWER_SIZE, "new %d", add_secret(100));
}
