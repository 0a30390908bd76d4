#pragma once

// How often threads of another process enter a function, told by the processor's
// debug registers: neither the function's code nor the process is changed for it.
//
// Return rules: a non-negative result is success, a negative one is -errno.

#include <stdint.h>

/// Begins to count how often the thread `thread`, and the threads and processes that
/// it starts from now on, run the instruction at `address`; a descriptor, closed at
/// exec, which the caller closes. A thread has four such counters at most (ENOSPC).
int centries_open(int thread, uint64_t address);

/// How often it was so far.
int64_t centries_read(int descriptor);
