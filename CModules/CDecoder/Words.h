// Words of code at any alignment.
#pragma once
#include <stdint.h>
#include <string.h>

static inline int32_t signed_word(const uint8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}
