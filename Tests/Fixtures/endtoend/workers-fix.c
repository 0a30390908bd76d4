// Gives a result that the old function never gives.
#include <stdio.h>

extern long base_rate;

static long results;

long compute(long number) {
    char text[32];
    results++;
    snprintf(text, sizeof text, "%ld", number);
    long parsed = 0;
    for (const char *digit = text; *digit; digit++) parsed = parsed * 10 + (*digit - '0');
    return parsed * base_rate + 1000000;
}
