// The opcode maps of the Intel SDM, vol. 2, appendix A, in 64-bit mode: what follows
// an opcode.
#pragma once
#include <stdint.h>

enum {
    M = 1, // a ModRM byte follows
    B = 2, // an immediate of one byte
    W = 4, // of two bytes
    Z = 8, // of four bytes, two with an operand size prefix
    V = 16, // of Z's size, eight with REX.W
    A = 32, // an address of eight bytes, four with an address size prefix
    X = 64, // invalid in 64-bit mode, or a prefix or escape that is handled before
    G = 128, // by the ModRM byte's reg field
    C = 256, // it jumps, returns or stops, or may be another escape (8f): for Walk.c
};

static const uint16_t one_byte[256] = {
    /* 00 */ M, M, M, M, B, Z, X, X, M, M, M, M, B, Z, X, X,
    /* 10 */ M, M, M, M, B, Z, X, X, M, M, M, M, B, Z, X, X,
    /* 20 */ M, M, M, M, B, Z, X, X, M, M, M, M, B, Z, X, X,
    /* 30 */ M, M, M, M, B, Z, X, X, M, M, M, M, B, Z, X, X,
    /* 40 */ X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    /* 50 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 60 */ X, X, X, M, X, X, X, X, Z, M | Z, B, M | B, 0, 0, 0, 0,
    /* 70 */ B | C, B | C, B | C, B | C, B | C, B | C, B | C, B | C,
             B | C, B | C, B | C, B | C, B | C, B | C, B | C, B | C,
    /* 80 */ M | B, M | Z, X, M | B, M, M, M, M, M, M, M, M, M, M, M, M | C,
    /* 90 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, X, 0, 0, 0, 0, 0,
    /* a0 */ A, A, A, A, 0, 0, 0, 0, B, Z, 0, 0, 0, 0, 0, 0,
    /* b0 */ B, B, B, B, B, B, B, B, V, V, V, V, V, V, V, V,
    /* c0 */ M | B, M | B, W | C, C, X, X, M | B, M | Z, W | B, 0, W | C, C, 0, B, X, C,
    /* d0 */ M, M, M, M, X, X, X, 0, M, M, M, M, M, M, M, M,
    /* e0 */ B | C, B | C, B | C, B | C, B, B, B, B, Z, Z | C, X, B | C, 0, 0, 0, 0,
    /* f0 */ X, 0, X, X, C, 0, M | G, M | G, 0, 0, 0, 0, 0, 0, M, M | C,
};

static const uint16_t two_bytes[256] = {
    /* 00 */ M, M, M, M, X, 0, 0, C, 0, 0, X, C, X, M, 0, M | B,
    /* 10 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
    /* 20 */ M | G, M | G, M | G, M | G, X, X, X, X, M, M, M, M, M, M, M, M,
    /* 30 */ 0, 0, 0, 0, 0, C, X, 0, X, X, X, X, X, X, X, X,
    /* 40 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
    /* 50 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
    /* 60 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
    /* 70 */ M | B, M | B, M | B, M | B, M, M, M, 0, M | G, M, X, X, M, M, M, M,
    /* 80 */ Z | C, Z | C, Z | C, Z | C, Z | C, Z | C, Z | C, Z | C,
             Z | C, Z | C, Z | C, Z | C, Z | C, Z | C, Z | C, Z | C,
    /* 90 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
    /* a0 */ 0, 0, 0, M, M | B, M, X, X, 0, 0, 0, M, M | B, M, M, M,
    /* b0 */ M, M, M, M, M, M, M, M, M, M | C, M | B, M, M, M, M, M,
    /* c0 */ M, M, M | B, M, M | B, M | B, M | B, M, 0, 0, 0, 0, 0, 0, 0, 0,
    /* d0 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
    /* e0 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
    /* f0 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M | C,
};
