// The machine code by which a payload does something once, in the thread that
// first enters one of its replacements. It is not run here but copied into targets.
#pragma once
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// The code, `*size` bytes, to be put at a multiple of 16. It runs at any address and
/// belongs to the program for ever; how it is called and what it needs is written in
/// RunOnce.S.
const uint8_t *crunonce_code(size_t *size);

/// Where in it calls go, in bytes from its start.
size_t crunonce_entry(void);

#pragma clang assume_nonnull end
