// Counts in variables of each thread and in others, some of which stand in another
// object (shelves-data.c). CHANGE 1 is a change of all who use them.
#ifndef CHANGE
#define CHANGE 0
#endif

extern __thread long shared, row[8];
extern long counted;
long twice(long value);
// Nobody has it.
long nowhere(long value) __attribute__((weak));

__thread long level = 3;
static __thread long own = 10, other = 20;

#define STEP (CHANGE ? 1000 : 1)

__attribute__((noinline)) void to_shared(long n) { shared += n * STEP; }
__attribute__((noinline)) void to_level(long n) { level += n * STEP; }
__attribute__((noinline)) long *in_row(long n) { return &row[CHANGE ? 7 - n : n]; }
__attribute__((noinline)) void to_own(long n)
{
    own += n * STEP;
    other += n * 2 * STEP;
}
__attribute__((noinline)) void to_counted(long n) { counted += n * STEP; }
__attribute__((noinline)) int is_counted(const long *it)
{
    return CHANGE ? it != &counted : it == &counted;
}
__attribute__((noinline)) unsigned long past(unsigned long it)
{
    return CHANGE ? it - (unsigned long)&counted + 5 : it - (unsigned long)&counted;
}
__attribute__((noinline)) int is_twice(long (*it)(long)) { return CHANGE ? it != twice : it == twice; }
__attribute__((noinline)) long call(long n) { return twice(n) + STEP; }
__attribute__((noinline)) long pass(long n) { return twice(n + STEP); }
__attribute__((noinline)) long maybe(long n) { return nowhere ? nowhere(n) : n + STEP; }
__attribute__((noinline)) long owned(void) { return own + other; }
