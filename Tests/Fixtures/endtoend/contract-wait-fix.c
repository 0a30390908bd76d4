// Stays until the next line comes, and changes every register meanwhile.
#include <stdio.h>
#include <stdlib.h>

extern int limit;

int clamp(int value) {
    char line[64];
    puts("waiting");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(1);
    return value > limit ? limit : value;
}
