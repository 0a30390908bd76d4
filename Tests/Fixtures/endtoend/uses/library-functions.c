// Calls exported functions of libraries, some of which the base never called.
#include "../uses.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
    return *(const char *)a - *(const char *)b;
}

void answer(char *answer) {
    char letters[] = "patch";
    qsort(letters, sizeof letters - 1, 1, compare);
    letters[0] = (char)toupper(letters[0]);
    snprintf(answer, ANSWER_SIZE, "new %s %ld %d", letters, labs(strtol("-12", NULL, 10)),
             library_fleet_size());
}
