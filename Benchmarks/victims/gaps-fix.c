#include <stdint.h>

uint64_t answer(void) {
    return 2;
}
