// Uses variables of libraries of which the program has a copy.
#define _GNU_SOURCE
#include "../uses.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void answer(char *answer) {
    fleet_size += 5;
    fprintf(stdout, "through stdout\n");
    int found = 0;
    for (char **entry = environ; *entry; entry++)
        found |= strcmp(*entry, "HOTPATCH_TEST=here") == 0;
    snprintf(answer, ANSWER_SIZE, "new %d %d %d", fleet_size, library_fleet_size(), found);
}
