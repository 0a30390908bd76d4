#include "arithmetic.h"
#include <string.h>

enum { rounds = 4000 };
typedef double two __attribute__((vector_size(16)));
typedef double four __attribute__((vector_size(32)));

static uint64_t fold(const void *bytes, size_t count) {
    uint64_t sum = 0, word;
    for (size_t i = 0; i + 8 <= count; i += 8) {
        memcpy(&word, (const char *)bytes + i, 8);
        sum = (sum << 7 | sum >> 57) ^ word;
    }
    return sum;
}

// Eight accumulators: as many registers that are live all the time.
#define VECTORS(name, type, attribute) \
    attribute static uint64_t name(void) { \
        type a[8]; \
        for (int i = 0; i < 8; i++) a[i] = (type){} + 1.0 + i; \
        type b = a[0], c = a[1], d = a[2], e = a[3], f = a[4], g = a[5], h = a[6], i = a[7]; \
        for (int n = 0; n < rounds; n++) { \
            b = b * 0.75 + c; c = c * 0.5 + d; d = d * 0.25 + e; e = e * 0.5 + f; \
            f = f * 0.25 + g; g = g * 0.75 + h; h = h * 0.5 + i; i = i * 0.25 + 1.0; \
        } \
        type all[8] = {b, c, d, e, f, g, h, i}; \
        return fold(all, sizeof all); \
    }
VECTORS(with_sse, two, __attribute__((noinline)))
VECTORS(with_avx, four, __attribute__((noinline, target("avx2"))))

__attribute__((noinline)) static uint64_t with_x87(void) {
    long double a = 1, b = 2, c = 3, d = 4;
    for (int n = 0; n < rounds; n++) {
        a = a * 0.75L + b;
        b = b * 0.5L + c;
        c = c * 0.25L + d;
        d = d * 0.5L + 1;
    }
    double all[4] = {(double)a, (double)b, (double)c, (double)d};
    return fold(all, sizeof all);
}

// The carry lives from one round to the next: dec leaves it alone.
__attribute__((noinline)) static uint64_t with_flags(void) {
    uint64_t low = 0x9e3779b97f4a7c15, high = 1, count = rounds;
    asm volatile("clc\n1: adc %0,%0\n adc %0,%1\n dec %2\n jnz 1b"
                 : "+r"(low), "+r"(high), "+r"(count)
                 :
                 : "cc");
    return low ^ high;
}

// A leaf's variables below the stack pointer (psABI x86-64, 3.2.2, the red zone).
__attribute__((noinline)) static uint64_t with_red_zone(void) {
    volatile uint64_t below[14];
    for (int i = 0; i < 14; i++) below[i] = (uint64_t)i;
    for (int n = 0; n < rounds; n++) below[n % 14] = below[(n + 5) % 14] * 3 + below[(n + 1) % 14];
    uint64_t sum = 0;
    for (int i = 0; i < 14; i++) sum ^= below[i];
    return sum;
}

uint64_t arithmetic(int kind) {
    switch (kind) {
    case 0: return with_sse();
    case 1: return __builtin_cpu_supports("avx2") ? with_avx() : 0;
    case 2: return with_x87();
    case 3: return with_flags();
    default: return with_red_zone();
    }
}
