#pragma once

typedef double quad __attribute__((vector_size(32)));

// What the fix adds to every result.
#define NEW 1000000

long step(long a, long b, long c, long d, long e, long f, long g, long h, double p, double q);
__attribute__((target("avx"))) long wide(quad values);

// For the fix to count in.
extern int applied, undone;
