#pragma once

// The kernel's questions whether a file may be opened or run (fanotify(7)), and the
// two helper processes that a program needs which answers them: one that tries what
// this kernel allows, and one that ends a program that no longer answers.
//
// Return rules: a non-negative result is success, a negative one is -errno.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A new group that is asked before a marked file is opened, closed at exec. As long
/// as any process holds the descriptor, the kernel waits for its answers; when the
/// last one closes it, all open questions count as answered with yes, and the marks
/// are gone. The caller closes it, and must not fork while it is open.
int cfanotify_open_group(void);

/// What the kernel asks about.
enum cfanotify_occasion {
    CFANOTIFY_EXECUTION, ///< FAN_OPEN_EXEC_PERM: the file is about to be run
    CFANOTIFY_OPENING,   ///< FAN_OPEN_PERM: the file is about to be opened
};
/// Marks the file behind the descriptor `file`, or takes the mark away. A descriptor
/// opened with O_PATH will do.
int cfanotify_mark(int group, enum cfanotify_occasion occasion, int file, bool add);

/// The kernel waits for an answer.
struct cfanotify_question {
    int file;      ///< the file, open for reading; reading it asks nothing. The caller closes it
    int thread;    ///< who is about to open it; 0 where that is in no pid namespace of ours
    bool executes; ///< it is about to be run
};
/// Takes up to `count` questions, at most 64. Returns how many there were, 0 where
/// there are none at this moment. Does not block.
int cfanotify_read(int group, struct cfanotify_question *_Nonnull questions, size_t count);

/// Answers yes to the question that came with the descriptor `file`.
int cfanotify_allow(int group, int file);

/// Tries, in a process of its own, whether the kernel lets a program be traced while
/// it waits for the answer whether it may run. Returns 1 where it does, 0 where the
/// two wait for each other (kernels before 6.8 hold the lock of the exec by then; and
/// any kernel where the marked file is the interpreter of a script, which is tried
/// instead with `through_script`), and a negative number where there is no answer, as
/// without CAP_SYS_ADMIN. Takes at most about `timeout_ms` milliseconds.
///
/// Forks, so the calling process must have no other threads and hold no group.
int cfanotify_probe(bool through_script, int timeout_ms);

/// The page that a program and its guardian share.
struct cfanotify_beats;

/// A process that watches this one.
struct cfanotify_guardian {
    int process; ///< refers to it (pidfd_open(2)): readable when it has ended
    int pid;
    struct cfanotify_beats *_Nullable beats;
};
/// Starts a process that kills this one with SIGKILL when, after a first
/// cfanotify_beat, no further one comes for `limit_ms` milliseconds: stopped, traced
/// and swapped out, a program kills itself no more. It ends when this process ends. It
/// holds none of this process's descriptors.
///
/// Forks, so the calling process must have no other threads and hold no group, and
/// the calling thread must live as long as the process.
int cfanotify_start_guardian(
    int interval_ms, int limit_ms, struct cfanotify_guardian *_Nonnull guardian);

/// Tells the guardian that this process is well.
void cfanotify_beat(const struct cfanotify_guardian *_Nonnull guardian);

/// Milliseconds since the guardian was last seen at its work.
int64_t cfanotify_guardian_silence(const struct cfanotify_guardian *_Nonnull guardian);

/// Ends this process with SIGALRM after `milliseconds`, unless called again before;
/// 0 calls it off.
int cfanotify_set_alarm(int milliseconds);

/// Sends a signal to the process that a pidfd refers to.
int cfanotify_send_signal(int process, int signal);

/// Runs the program at `path` as another child of this process's parent, with nothing
/// of this process but its standard streams, and sets `pid` to its number. Returns a
/// descriptor of it (pidfd_open(2)), closed at exec, which the caller closes. Where the
/// program cannot be run, it ends at once. Whose parent is outside of its pid
/// namespace has no siblings: -EINVAL.
int cfanotify_start_sibling(
    const char *_Nonnull path, char *_Nullable const *_Nonnull arguments,
    char *_Nullable const *_Nonnull environment, int *_Nonnull pid);

/// Keeps what this process has in memory there (mlockall(2)), so that an answer never
/// waits for a disk.
int cfanotify_stay_in_memory(void);
