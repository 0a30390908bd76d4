// Functions that tell which version of them runs. VERSION is 1 in the program and
// its library, and another number in each fix. A function that has seen two
// versions at once answers MIXED, and so does everything that calls it.
#pragma once
#define MIXED 99

// Calls another twice, so that a switch in between would show; the first call is
// among the instructions that a detour overwrites. Nothing is inlined, cloned or
// known about registers: what the callers see is the entry alone.
#define CALLER(name, callee) \
    __attribute__((noipa)) int name(void) { \
        int first = callee(), second = callee(); \
        return first == second && first == VERSION ? VERSION : MIXED; \
    }
#define LEAF(name) \
    __attribute__((noipa)) int name(void) { return VERSION; }

int solo(void);
int chain_0(void), chain_1(void), chain_2(void), chain_3(void), chain_4(void), chain_5(void);
int front(void), side(void);
int short_caller(void), short_leaf(void);
