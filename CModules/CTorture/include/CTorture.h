#pragma once

// What tests that kill their worker or close its terminal need, and Swift cannot
// call.
//
// Return rules: a non-negative result is success, a negative one is -errno.

#include <stdint.h>

/// The end of a new terminal that stands for whoever sits there, closed at exec;
/// `path` becomes that of the end which programs use. The caller closes it.
int ctorture_open_terminal(char path[_Nonnull 64]);

/// fork(2). The child is killed when its parent ends, and has no other threads
/// than the caller's.
int ctorture_fork(void);

/// A timer that will kill this process with SIGKILL once it is started; its number.
int ctorture_make_timer(void);

/// Starts the timer of that number: the kernel kills this process after
/// `nanoseconds`, at least 1, whatever its threads do then.
int ctorture_start_timer(int timer, uint64_t nanoseconds);
