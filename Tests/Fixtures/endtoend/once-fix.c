// For once.c: three things to do first, in their order, the first of which takes long
// and leaves no register as it was, and the second of which calls what is replaced.
#include <hotpatch.h>
#include <time.h>

#include "once.h"

static int done;
static int is_inside;

static void spoil(void)
{
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                         "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                         "xmm15");
    __asm__ volatile("xor %%eax, %%eax; xor %%ecx, %%ecx; xor %%edx, %%edx; xor %%esi, %%esi;"
                     "xor %%edi, %%edi; xor %%r8d, %%r8d; xor %%r9d, %%r9d; xor %%r10d, %%r10d;"
                     "xor %%r11d, %%r11d" ::: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9",
                     "r10", "r11", "cc");
}

static void first(void)
{
    struct timespec pause = { 0, 200000000 };
    if (done == 3)
        done = 0;
    if (done != 0)
        undone++;
    done = 1;
    nanosleep(&pause, NULL);
    spoil();
}

static void second(void)
{
    if (done != 1)
        undone++;
    is_inside = 1;
    if (step(1, 0, 0, 0, 0, 0, 0, 0, 0, 0) != 1 + NEW)
        undone++;
    is_inside = 0;
    done = 2;
}

static void third(void)
{
    if (done != 2)
        undone++;
    done = 3;
    applied++;
}

HOTPATCH_ON_APPLY(first);
HOTPATCH_ON_APPLY(second);
HOTPATCH_ON_APPLY(third);

static void look(void)
{
    if (done != 3 && !is_inside)
        __atomic_fetch_add(&undone, 1, __ATOMIC_RELAXED);
}

long step(long a, long b, long c, long d, long e, long f, long g, long h, double p, double q)
{
    look();
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + (long)(9 * p + 10 * q)
        + NEW;
}

__attribute__((target("avx"))) long wide(quad values)
{
    look();
    return (long)(values[0] + 2 * values[1] + 3 * values[2] + 4 * values[3]) + NEW;
}
