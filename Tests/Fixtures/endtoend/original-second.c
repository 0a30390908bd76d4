// Over another patch it is still the program's own code that is called.
#include <hotpatch.h>

int work(int x) {
    return HOTPATCH_ORIGINAL(work)(x) + 5000;
}
