#pragma once

// What Linux and glibc offer to C only: variadic or macro-built calls, calls
// without a glibc wrapper, and structs that Swift does not import.
//
// Return rules, unless a function says otherwise: a non-negative result is
// success, a negative one is -errno. `errno` itself is never the answer.

#include <stdint.h>

/// A descriptor that refers to process `pid` and becomes readable when its last
/// thread has exited (pidfd_open(2)). The caller closes it.
int clinux_pidfd_open(int pid);

/// Stores the read end and the write end of a new pipe, both closed at exec
/// (pipe2(2) with O_CLOEXEC). The caller closes them.
int clinux_pipe(int ends[_Nonnull 2]);

/// A descriptor of a new file in memory, closed at exec (memfd_create(2)). The
/// caller closes it.
int clinux_memory_file(const char *_Nonnull name);
