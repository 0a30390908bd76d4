// Keeps accounts and answers questions about them, one line each. CHANGE numbers
// the changes of its history: 0 is what runs, each other one is a source change.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef CHANGE
#define CHANGE 0
#endif

#define CHECK(condition) \
    do { \
        if (!(condition)) complain(__FILE__, __LINE__); \
    } while (0)

enum { ACCOUNTS = 4 };

struct account {
    const char *name;
    long balance;
#if CHANGE == 40
    long limit;
#endif
};

#if CHANGE == 41
static struct account accounts[ACCOUNTS] = {{"rent", 10}, {"food", 25}, {"fuel", 30}, {"gold", 40}};
#else
static struct account accounts[ACCOUNTS] = {{"rent", 10}, {"food", 20}, {"fuel", 30}, {"gold", 40}};
#endif
static const int weights[] = {1, 2, 3, CHANGE == 9 ? 5 : 4};
static __thread int depth;
#if CHANGE == 43
static __thread int height = 3;
#endif
int questions;
#if CHANGE == 42
const int scale = 11;
#else
const int scale = 10;
#endif
const int *const scales = &scale;
static int started;

__attribute__((constructor)) static void start(void)
{
#if CHANGE == 44
    started = 2;
#else
    started = 1;
#endif
}

#if CHANGE == 45
__attribute__((constructor)) static void start_again(void) { started = 3; }
#endif

__attribute__((noinline, cold)) static void complain(const char *file, int line)
{
    fprintf(stderr, "%s:%d: no such account\n", file, line);
    exit(3);
}

// Inlined into both who call it.
static inline long rounded(long value)
{
#if CHANGE == 2
    return (value + 9) / 10 * 10;
#else
    return value / 10 * 10;
#endif
}

__attribute__((noinline)) static long first_rounded(long value) { return rounded(value) + 1; }
__attribute__((noinline)) static long second_rounded(long value) { return rounded(value) + 2; }

#if CHANGE == 3
static long bonuses;

static const char *const praise[] = {"good", "better", "best"};

__attribute__((noinline)) static long bonus(long value)
{
    static int given;
    given++;
    printf("(%s %d) ", praise[given % 3], given);
    bonuses += value;
    return bonuses;
}
#endif

__attribute__((noinline)) static long sum(int from, int to)
{
    static int calls;
    long total = 0;
    calls++;
    for (int index = from; index < to; index++) {
        CHECK(index >= 0 && index < ACCOUNTS);
        total += accounts[index].balance * weights[index];
    }
#if CHANGE == 1
    if (total > 100) total = 100;
#endif
#if CHANGE == 3
    total += bonus(7);
#endif
    printf("sum %d ", calls);
    return total;
}

// So that accounts are no constants.
__attribute__((noinline)) void pay(int index, long amount) { accounts[index].balance += amount; }

__attribute__((noinline)) static int visits(void)
{
    static int calls;
    return ++calls;
}

#if CHANGE == 4
// One more variable of a name that the compiler has numbered already.
__attribute__((noinline)) static int repeats(void)
{
    static int calls = 50;
    return ++calls;
}
#endif

// A switch by a table, and cases that are out of the way.
__attribute__((noinline)) static int priority(int letter)
{
    switch (letter) {
    case 'a': return 17;
    case 'b': return accounts[1].balance > 5;
    case 'c': return questions;
    case 'd': return started;
    case 'e': return depth;
#if CHANGE == 5
    case 'f': return 99;
#endif
    case 'g': return strlen(accounts[2].name);
    case 'h': return weights[3];
    case 'x': complain("priority", letter); return 0;
    default: return -1;
    }
}

// Gets its second argument as a constant, of which the compiler makes a clone.
__attribute__((noinline)) static int scaled(int value, int factor, int unused)
{
    (void)unused;
#if CHANGE == 6
    return value * factor * *scales + 1;
#else
    return value * factor * *scales;
#endif
}

#if CHANGE == 7
__attribute__((noinline)) static int limited(int value, int limit, const char *why)
{
    if (value > limit) printf("(%s) ", why);
    return value > limit ? limit : value;
}
#else
__attribute__((noinline)) static int limited(int value, int limit)
{
    return value > limit ? limit : value;
}
#endif

__attribute__((noinline)) static void name(const char *text, char *into)
{
    size_t length = strlen(text);
#if CHANGE == 8
    for (size_t index = 0; index <= length; index++) into[index] = (char)toupper(text[index]);
    if (strpbrk(into, "XYZ") != NULL) strcpy(into, "?");
#else
    memcpy(into, text, length + 1);
#endif
}

__attribute__((noinline)) static int nested(int levels)
{
    depth++;
#if CHANGE == 10
    depth++;
#elif CHANGE == 43
    depth += height++;
#endif
    int result = levels > 0 ? nested(levels - 1) : depth;
    return result;
}

#if CHANGE == 11
// Of what follows only the lines are others.
#line 500
#endif

__attribute__((noinline)) static double share(int index)
{
    CHECK(index < ACCOUNTS);
#if CHANGE == 12
    return (double)accounts[index].balance * 0.25;
#else
    return (double)accounts[index].balance * 0.5;
#endif
}

static int by_name(const void *one, const void *other)
{
#if CHANGE == 13
    return strcmp(*(const char *const *)other, *(const char *const *)one);
#else
    return strcmp(*(const char *const *)one, *(const char *const *)other);
#endif
}

__attribute__((noinline)) static void list(void)
{
    const char *names[ACCOUNTS];
    for (int index = 0; index < ACCOUNTS; index++) names[index] = accounts[index].name;
    qsort(names, ACCOUNTS, sizeof names[0], by_name);
    for (int index = 0; index < ACCOUNTS; index++) printf("%s ", names[index]);
    puts("");
}

static void answer(const char *question)
{
    char text[64];
    int number = atoi(question + 1);
    questions++;
    switch (question[0]) {
    case 's': printf("%ld\n", sum(0, ACCOUNTS)); break;
    case 'r': printf("%ld %ld\n", first_rounded(number), second_rounded(number)); break;
#if CHANGE == 4
    case 'v': printf("%d %d\n", visits(), repeats()); break;
#else
    case 'v': printf("%d\n", visits()); break;
#endif
    case 'p': printf("%d\n", priority(question[1])); break;
    case 'f': printf("%d\n", scaled(number, 3, questions)); break;
#if CHANGE == 7
    case 'l': printf("%d\n", limited(number, 5, "cut")); break;
#else
    case 'l': printf("%d\n", limited(number, 5)); break;
#endif
    case 'n': name(question + 1, text); puts(text); break;
    case 'd': depth = 0; printf("%d\n", nested(number)); break;
    case 'h': printf("%g\n", share(number)); break;
    case 'o': list(); break;
    case 'b': pay(number, 100); puts("paid"); break;
    default: puts("?");
    }
    fflush(stdout);
}

int main(void)
{
    char line[128];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        answer(line);
    }
    return 0;
}
