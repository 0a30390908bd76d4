#include <stdint.h>

uint64_t step(uint64_t value) {
    return value + 2;
}
