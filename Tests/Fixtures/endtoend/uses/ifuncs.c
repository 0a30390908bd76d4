// Calls IFUNCs: glibc's memcpy, strlen and strchr, and one of the base; and
// takes their addresses.
#include "../uses.h"

#include <stdio.h>
#include <string.h>

int scale(int number);

static size_t (*const measure)(const char *) = strlen;
static int (*const stretch)(int) = scale;

void answer(char *answer) {
    char copy[64];
    volatile size_t size = sizeof "a=bcd";
    memcpy(copy, "a=bcd", size);
    snprintf(answer, ANSWER_SIZE, "new %zu %zu %s %d %d", strlen(copy), measure(copy),
             strchr(copy, copy[1]), scale(21), stretch(4));
}
