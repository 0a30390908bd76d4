// For change 1 of sessions.c: the variable has its old value in the program.
#include <hotpatch.h>

extern int limit;

static void raise_limit(void)
{
    if (limit == 5)
        limit = 50;
}
HOTPATCH_ON_APPLY(raise_limit);
