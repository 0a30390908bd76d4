// Leaves it to the original, which need not keep what its callers keep.
#include <hotpatch.h>
#include <stdlib.h>

int clamp(int value) {
    return HOTPATCH_ORIGINAL(clamp)(abs(value)) + 1000;
}
