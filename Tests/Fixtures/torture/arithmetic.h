// Arithmetic whose state lives in registers only, with results that are known:
// a register that somebody else has touched shows in them.
#pragma once
#include <stdint.h>

enum { arithmetic_kinds = 5 };
/// The result of one kind of arithmetic; the same whenever it is called.
uint64_t arithmetic(int kind);
