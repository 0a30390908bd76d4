/*
 * BLAKE2b with 256 bits of digest (RFC 7693), by libsodium.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CDIGEST_SIZE 32

/* The state of one digest: cdigest_new, any number of updates, cdigest_finish. */
typedef struct cdigest_state cdigest_state;

/* NULL where there is no memory, or libsodium cannot start. */
cdigest_state *_Nullable cdigest_new(void);
void cdigest_update(
    cdigest_state *_Nonnull state, const uint8_t *_Nullable bytes, size_t count);
/* Writes CDIGEST_SIZE bytes and frees the state. */
void cdigest_finish(cdigest_state *_Nonnull state, uint8_t *_Nonnull digest);
