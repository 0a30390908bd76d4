// The same result by a way that changes every register that the psABI lets a
// function change, and that needs the stack aligned.
#include <stdio.h>
#include <stdlib.h>

extern int limit;

typedef float vector __attribute__((vector_size(16)));

int clamp(int value) {
    volatile vector kept = {1, 2, 3, 4}; // written and read with movaps
    char text[32];
    snprintf(text, sizeof text, "%d", value + (int)kept[0] - 1);
    int parsed = atoi(text);
    return parsed > limit ? limit : parsed;
}
