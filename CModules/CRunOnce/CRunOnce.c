#include "CRunOnce.h"

extern const uint8_t crunonce_start[];
extern const uint8_t crunonce_routine[];
extern const uint8_t crunonce_end[];

const uint8_t *crunonce_code(size_t *size) {
    *size = (size_t)(crunonce_end - crunonce_start);
    return crunonce_start;
}

size_t crunonce_entry(void) { return (size_t)(crunonce_routine - crunonce_start); }
