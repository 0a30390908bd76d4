// Another answer, and something to do before it is given first.
#include <hotpatch.h>

static int prepared;

static void prepare(void) { prepared = 1; }
HOTPATCH_ON_APPLY(prepare);

const char *answer(void) {
    return prepared ? "new" : "unprepared";
}
