#include "CDigest.h"

#include <sodium.h>
#include <stdlib.h>

struct cdigest_state {
    crypto_generichash_state *inner;
};

cdigest_state *cdigest_new(void)
{
    /* Negative only where it fails; 1 where it was done before. */
    if (sodium_init() < 0) {
        return NULL;
    }
    cdigest_state *state = malloc(sizeof *state);
    if (state == NULL) {
        return NULL;
    }
    /* libsodium wants its state aligned to 64 bytes. */
    state->inner = aligned_alloc(64, (crypto_generichash_statebytes() + 63) / 64 * 64);
    if (state->inner == NULL) {
        free(state);
        return NULL;
    }
    (void)crypto_generichash_init(state->inner, NULL, 0, CDIGEST_SIZE);
    return state;
}

void cdigest_update(cdigest_state *state, const uint8_t *bytes, size_t count)
{
    (void)crypto_generichash_update(state->inner, bytes, count);
}

void cdigest_finish(cdigest_state *state, uint8_t *digest)
{
    (void)crypto_generichash_final(state->inner, digest, CDIGEST_SIZE);
    free(state->inner);
    free(state);
}
