#pragma once

// Trials of what this kernel allows, in processes made for them that end with
// them: no other process and no file but those given is touched.

/// What is tried. The numbers below each are its steps, in their order.
enum ctrials_kind {
    CTRIALS_MEMORY,    ///< another process's read-only text, through /proc/PID/mem
    CTRIALS_TRACE,     ///< ptrace(2) of another process, and writing as its tracer
    CTRIALS_PAYLOAD,   ///< executable memory for what is mapped into a process
    CTRIALS_PRIORITY,  ///< SCHED_FIFO
    CTRIALS_EXEC_HOLD, ///< holding a program at its start (fanotify(7)), and seizing it
};

enum ctrials_memory_step {
    CTRIALS_MEMORY_READ,    ///< process_vm_readv(2)
    CTRIALS_MEMORY_COMPARE, ///< kcmp(2): whether it is shared with another process
    CTRIALS_MEMORY_OPEN,    ///< /proc/PID/mem, for writing
    CTRIALS_MEMORY_WRITE,   ///< and the bytes are there afterwards
};
enum ctrials_trace_step {
    CTRIALS_TRACE_SEIZE,
    CTRIALS_TRACE_STOP,
    CTRIALS_TRACE_WRITE, ///< through /proc/PID/mem, as the tracer
    CTRIALS_TRACE_POKE,  ///< PTRACE_POKETEXT
    CTRIALS_TRACE_DETACH,
};
enum ctrials_payload_step {
    CTRIALS_PAYLOAD_MEMFD,     ///< memfd_create(2) with MFD_EXEC, or without where it is unknown
    CTRIALS_PAYLOAD_MAP,       ///< that file, mapped executable
    CTRIALS_PAYLOAD_ANONYMOUS, ///< executable memory without a file
};
enum ctrials_priority_step {
    CTRIALS_PRIORITY_SET,
};
enum ctrials_exec_hold_step {
    CTRIALS_EXEC_HOLD_INIT,  ///< fanotify_init(2), FAN_CLASS_CONTENT and FAN_REPORT_TID
    CTRIALS_EXEC_HOLD_MARK,  ///< FAN_OPEN_EXEC_PERM on the file
    CTRIALS_EXEC_HOLD_EVENT, ///< the other process runs the file, and is held
    CTRIALS_EXEC_HOLD_SEIZE, ///< blocks where the kernel has the deadlock
    CTRIALS_EXEC_HOLD_ALLOW,
    CTRIALS_EXEC_HOLD_STOP, ///< it stands at PTRACE_EVENT_EXEC
    CTRIALS_EXEC_HOLD_END,  ///< let go, it runs to its end
};

enum {
    CTRIALS_STEPS = 8,
    CTRIALS_NOT_REACHED = 1,
    CTRIALS_BEGUN = 2,
};

/// What became of each step: 0 where it was done, -errno where it failed,
/// CTRIALS_NOT_REACHED where an earlier one failed, CTRIALS_BEGUN where it had not
/// returned when the time was up.
struct ctrials_result {
    int steps[CTRIALS_STEPS];
};

/// Tries it, for at most `milliseconds`. For CTRIALS_EXEC_HOLD `marked` is the file
/// to put the mark on, and `run` the program to run: the same file, or a script
/// whose interpreter it is. Both belong to the caller, and nobody else runs them.
/// Returns 0, or -errno where the trial itself could not be made.
int ctrials_run(
    enum ctrials_kind kind, const char *_Nullable marked, const char *_Nullable run,
    unsigned milliseconds, struct ctrials_result *_Nonnull result);
