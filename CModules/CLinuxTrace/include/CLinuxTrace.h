#pragma once

// What Linux and glibc offer to C only: variadic or macro-built calls, calls
// without a glibc wrapper, and structs that Swift does not import.
//
// Return rules, unless a function says otherwise: a non-negative result is
// success, a negative one is -errno. `errno` itself is never the answer.

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/user.h>

/// A descriptor that refers to process `pid` and becomes readable when its last
/// thread has exited (pidfd_open(2)). The caller closes it.
int clinux_pidfd_open(int pid);

/// Stores the read end and the write end of a new pipe, both closed at exec
/// (pipe2(2) with O_CLOEXEC). The caller closes them.
int clinux_pipe(int ends[_Nonnull 2]);

/// A descriptor of a new file in memory, closed at exec (memfd_create(2)). The
/// caller closes it.
int clinux_memory_file(const char *_Nonnull name);

/// The id of the calling thread.
int clinux_thread_id(void);

/// Whether it is the number of a thread of this process.
bool clinux_is_own_thread(int tid);

/// Whether the calling thread traces nothing and has no children of its own: nothing
/// that it would have to wait for.
bool clinux_traces_nothing(void);

/// fork(2) of a process that is not a child of the caller, but of whoever takes
/// orphans in. Returns 0 in it and 1 in the caller, which must have one thread only
/// and is told of no child's end.
int clinux_fork_apart(void);
/// Closes all descriptors but standard error and this one; standard input and output
/// lead nowhere then. Returns the number that it has from now on.
int clinux_keep_only(int descriptor);
/// Makes the system calls by which a patch comes into a process, in a child that ends
/// with it. Returns 1 where all were done, 0 where one failed or the child was killed
/// for it, as by a seccomp filter. The caller must have one thread only.
int clinux_try_patch_calls(void);
/// Tells the Yama security module that this process may trace the caller
/// (PR_SET_PTRACER). Fails with EINVAL where there is none.
int clinux_allow_tracer(int pid);
/// Whether the file has capabilities (capabilities(7)): 1 or 0.
int clinux_has_capabilities(const char *_Nonnull path);

// ptrace(2), without its variadic last argument and its mixed return values.
// All of it concerns tracees of the calling thread alone.

/// PTRACE_SEIZE: the calling thread becomes the tracer; nothing stops.
int clinux_seize(int tid, unsigned options);
/// PTRACE_SETOPTIONS of a stopped tracee, in place of those that it had.
int clinux_set_options(int tid, unsigned options);
/// PTRACE_INTERRUPT: the tracee stops as soon as it can.
int clinux_interrupt(int tid);
/// How a stopped tracee goes on.
enum clinux_resumption {
    CLINUX_CONTINUE, ///< PTRACE_CONT
    CLINUX_SYSCALL,  ///< PTRACE_SYSCALL: until the next system call begins or ends
    CLINUX_DETACH,   ///< PTRACE_DETACH: as if never traced
    CLINUX_LISTEN,   ///< PTRACE_LISTEN: it stays stopped by job control
};
/// Lets a stopped tracee go on, with `signal` delivered unless it is 0.
int clinux_resume(int tid, enum clinux_resumption how, int signal);
/// PTRACE_GETREGS.
int clinux_get_registers(int tid, struct user_regs_struct *_Nonnull registers);
/// PTRACE_SETREGS.
int clinux_set_registers(int tid, const struct user_regs_struct *_Nonnull registers);
/// Whether the tracee stands at the end of a system call, its result already in
/// its registers: 1 or 0 (PTRACE_GET_SYSCALL_INFO, since Linux 5.3).
int clinux_is_at_call_end(int tid);
/// PTRACE_PEEKTEXT: stores the word at `address`.
int clinux_peek(int tid, uint64_t address, uint64_t *_Nonnull word);
/// PTRACE_POKETEXT: one aligned word, written past the mapping's protection.
int clinux_poke(int tid, uint64_t address, uint64_t word);
/// PTRACE_GET_RSEQ_CONFIGURATION: stores the address of the tracee's struct
/// rseq, 0 where it has registered none.
int clinux_rseq_address(int tid, uint64_t *_Nonnull address);

/// The seccomp filter number `index` of a stopped tracee (PTRACE_SECCOMP_GET_FILTER),
/// counted from the one that was added last. Returns how many steps it has, and writes
/// so many to `steps` where that is not null; -ENOENT where there is no such filter,
/// -EACCES without CAP_SYS_ADMIN and in a caller that has a filter itself.
long clinux_seccomp_filter(int tid, unsigned index, struct sock_filter *_Nullable steps);

/// What a tracee did, as waitid(2) tells it.
struct clinux_wait {
    int tid;    ///< 0 where nothing has happened yet
    int code;   ///< CLD_TRAPPED, CLD_EXITED, CLD_KILLED or CLD_DUMPED
    int status; ///< the exit code, the signal, or for a stop `signal | event << 8`
};
/// Looks whether `tid` has stopped or ended, and leaves what it finds waiting
/// (WNOWAIT), so that a stop's signal survives the death of this process. Does
/// not block.
int clinux_look(int tid, struct clinux_wait *_Nonnull result);
/// Takes note of a stop that has been seen: clinux_look shows it no more. Only for
/// stops that are not about a signal.
int clinux_note_stop(int tid);
/// Takes note of the end of `tid`, which has been seen to have ended.
int clinux_reap(int tid);
/// The same for a tracee of any thread of this process.
int clinux_reap_sibling(int tid);

/// process_vm_readv(2) of one range. Returns the number of bytes read, which is
/// less than asked for where what follows cannot be read.
long clinux_read_memory(int pid, uint64_t address, void *_Nonnull bytes, size_t count);

/// One range for clinux_read_ranges; the same layout as struct iovec.
struct clinux_range {
    uint64_t address;
    uint64_t count;
};
/// process_vm_readv(2) of up to 1,024 ranges, one behind the other into `bytes`
/// of `count` bytes in all. Returns the number of bytes read before the first
/// that cannot be.
long clinux_read_ranges(
    int pid, const struct clinux_range *_Nonnull ranges, unsigned long ranges_count,
    void *_Nonnull bytes, size_t count);

/// 0 where the two processes share their memory, a positive number where they
/// do not (kcmp(2), KCMP_VM).
int clinux_compare_memory(int pid, int other);

/// The number of bytes that getdents64(2) stored; 0 at the end of the folder.
long clinux_directory_entries(int descriptor, void *_Nonnull bytes, size_t count);

/// Stores the limit of process `pid` and sets a new one where `new_limit` is
/// given (prlimit(2)).
int clinux_limit(
    int pid, int resource, const struct rlimit *_Nullable new_limit,
    struct rlimit *_Nullable old_limit);
