// Call chains of stopped threads, by libdwfl (elfutils) and the objects'
// .eh_frame. Threads and memory are the caller's: libdwfl traces nothing here.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// The objects of one process, with their unwind tables. For one OS thread.
typedef struct cunwind_space cunwind_space;

/// Stores the eight bytes at `address` of the process and returns true, or
/// returns false where they cannot be read.
typedef bool (*cunwind_read)(void *context, uint64_t address, uint64_t *word);

/// NULL where memory is short. To be closed with cunwind_close.
cunwind_space *_Nullable cunwind_open(void);

void cunwind_close(cunwind_space *space);

/// Adds the object in the file behind `descriptor`, loaded with `bias`; the
/// descriptor is borrowed for the call. Returns false where libdwfl refuses it:
/// its frames cannot be followed then.
bool cunwind_add(
    cunwind_space *space, const char *name, int descriptor, uint64_t bias);

/// The same for an object of which there is no file: `size` bytes as one would
/// have them, copied.
bool cunwind_add_image(
    cunwind_space *space, const char *name, const uint8_t *bytes, size_t size, uint64_t bias);

/// Ends the adding, and loads all unwind tables. `read` is called from
/// cunwind_walk with `context`, which has to live as long as `space`. Returns
/// false where nothing can be unwound.
bool cunwind_prepare(
    cunwind_space *space, int process, cunwind_read read, void *context);

/// One frame of a call chain.
typedef struct {
    /// The thread's own program counter, the address that a call returns to, or
    /// the program counter that a signal interrupted.
    uint64_t counter;
    /// rsp in that frame: for a caller, behind the return address to it.
    uint64_t stack_pointer;
    bool is_return_address;
} cunwind_frame;

/// Follows the call chain of a thread whose registers are `registers`, in the
/// order of the psABI's DWARF numbers: rax rdx rcx rbx rsi rdi rbp rsp r8 … r15,
/// rip. Stores at most `room` frames, the thread's own first.
///
/// Returns how many were stored. `*complete` tells whether the chain was
/// followed, by unwind tables alone, to a frame whose table says that it is the
/// outermost.
size_t cunwind_walk(
    cunwind_space *space, int thread, const uint64_t registers[_Nonnull 17],
    cunwind_frame *frames, size_t room, bool *complete);

#pragma clang assume_nonnull end
