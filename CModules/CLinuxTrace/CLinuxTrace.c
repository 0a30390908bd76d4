#define _GNU_SOURCE
#include "CLinuxTrace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/ptrace.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

// Since Linux 6.3; glibc's headers may be older than the kernel.
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

// glibc's <sys/ptrace.h> and the kernel's header define the same names; the
// kernel's has the newer requests.
extern long ptrace(int request, ...);

_Static_assert(sizeof(struct clinux_range) == sizeof(struct iovec), "a range is an iovec");
_Static_assert(
    offsetof(struct clinux_range, count) == offsetof(struct iovec, iov_len), "a range is an iovec");

/// The result of a glibc call, by this module's rule.
static long outcome(long result) {
    return result == -1 ? -errno : result;
}

int clinux_pidfd_open(int pid) {
    return (int)outcome(syscall(SYS_pidfd_open, pid, 0));
}

int clinux_pipe(int ends[2]) {
    return (int)outcome(pipe2(ends, O_CLOEXEC));
}

int clinux_memory_file(const char *name) {
    return (int)outcome(memfd_create(name, MFD_CLOEXEC));
}

int clinux_thread_id(void) {
    return gettid();
}

bool clinux_is_own_thread(int tid) {
    return tgkill(getpid(), tid, 0) == 0;
}

bool clinux_traces_nothing(void) {
    siginfo_t info = {0};
    int flags = WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL | __WNOTHREAD;
    return waitid(P_ALL, 0, &info, flags) != 0 && errno == ECHILD;
}

int clinux_fork_apart(void) {
    // No signal tells of the end of the process in between (clone(2)): one that the
    // caller holds back would go with it into the program that it runs next.
    long between = outcome(syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL));
    if (between < 0) {
        return (int)between;
    }
    if (between == 0) {
        pid_t apart = fork();
        if (apart == 0) {
            return 0;
        }
        _exit(apart < 0 ? errno : 0);
    }
    int status = 0;
    while (waitpid((pid_t)between, &status, __WALL) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    if (!WIFEXITED(status)) {
        return -EAGAIN;
    }
    return WEXITSTATUS(status) == 0 ? 1 : -WEXITSTATUS(status);
}

int clinux_keep_only(int descriptor) {
    int kept = fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (kept < 0) {
        return -errno;
    }
    if (descriptor <= STDERR_FILENO) {
        close(descriptor);
    }
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing >= 0) {
        dup2(nothing, STDIN_FILENO);
        dup2(nothing, STDOUT_FILENO);
    }
    // Before Linux 5.9 they stay open until this process ends.
    if (kept > STDERR_FILENO + 1) {
        close_range(STDERR_FILENO + 1, (unsigned)kept - 1, 0);
    }
    close_range((unsigned)kept + 1, ~0U, 0);
    return kept;
}

/// The calls that put a patch into a process, made by a process of no further use.
static int patch_calls_succeed(void) {
    const size_t size = 4096;
    // What a filter kills is nobody's bug.
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    int file = memfd_create("hotpatch", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (file < 0 && errno == EINVAL) {
        file = memfd_create("hotpatch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (file < 0 || pwrite(file, "", 1, (off_t)size - 1) != 1) {
        return 0;
    }
    void *place = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (place == MAP_FAILED) {
        return 0;
    }
    const int protections[] = {PROT_READ, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE};
    for (size_t index = 0; index < sizeof protections / sizeof *protections; index++) {
        int flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE;
        if (munmap(place, size) != 0
            || mmap(place, size, protections[index], flags, file, 0) != place) {
            return 0;
        }
    }
    return close(file) == 0;
}

int clinux_try_patch_calls(void) {
    pid_t child = fork();
    if (child < 0) {
        return -errno;
    }
    if (child == 0) {
        _exit(patch_calls_succeed() ? 0 : 1);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int clinux_allow_tracer(int pid) {
    return (int)outcome(prctl(PR_SET_PTRACER, (unsigned long)pid, 0, 0, 0));
}

int clinux_has_capabilities(const char *path) {
    return getxattr(path, "security.capability", NULL, 0) > 0;
}

int clinux_seize(int tid, unsigned options) {
    return (int)outcome(ptrace(PTRACE_SEIZE, tid, NULL, (unsigned long)options));
}

int clinux_set_options(int tid, unsigned options) {
    return (int)outcome(ptrace(PTRACE_SETOPTIONS, tid, NULL, (unsigned long)options));
}

int clinux_interrupt(int tid) {
    return (int)outcome(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL));
}

int clinux_resume(int tid, enum clinux_resumption how, int signal) {
    static const int requests[] = {
        [CLINUX_CONTINUE] = PTRACE_CONT,
        [CLINUX_SYSCALL] = PTRACE_SYSCALL,
        [CLINUX_DETACH] = PTRACE_DETACH,
        [CLINUX_LISTEN] = PTRACE_LISTEN,
    };
    return (int)outcome(ptrace(requests[how], tid, NULL, (long)signal));
}

int clinux_get_registers(int tid, struct user_regs_struct *registers) {
    return (int)outcome(ptrace(PTRACE_GETREGS, tid, NULL, registers));
}

int clinux_set_registers(int tid, const struct user_regs_struct *registers) {
    return (int)outcome(ptrace(PTRACE_SETREGS, tid, NULL, registers));
}

int clinux_is_at_call_end(int tid) {
    struct ptrace_syscall_info info = {0};
    long result = outcome(ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info));
    return result < 0 ? (int)result : info.op == PTRACE_SYSCALL_INFO_EXIT;
}

int clinux_peek(int tid, uint64_t address, uint64_t *word) {
    // The word is the result, so that -1 is an error only where errno says so.
    errno = 0;
    long result = ptrace(PTRACE_PEEKTEXT, tid, address, NULL);
    if (result == -1 && errno != 0) {
        return -errno;
    }
    *word = (uint64_t)result;
    return 0;
}

int clinux_poke(int tid, uint64_t address, uint64_t word) {
    return (int)outcome(ptrace(PTRACE_POKETEXT, tid, address, word));
}

int clinux_rseq_address(int tid, uint64_t *address) {
    struct ptrace_rseq_configuration configuration = {0};
    long result = outcome(ptrace(
        PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof configuration, &configuration));
    if (result < 0) {
        return (int)result;
    }
    *address = configuration.rseq_abi_pointer;
    return 0;
}

long clinux_seccomp_filter(int tid, unsigned index, struct sock_filter *steps) {
    return outcome(ptrace(PTRACE_SECCOMP_GET_FILTER, tid, (long)index, steps));
}

int clinux_look(int tid, struct clinux_wait *result) {
    siginfo_t info = {0};
    // __WNOTHREAD: only what the calling thread itself traces.
    int flags = WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL | __WNOTHREAD;
    if (waitid(P_PID, (id_t)tid, &info, flags) != 0) {
        return -errno;
    }
    result->tid = info.si_pid;
    result->code = info.si_code;
    result->status = info.si_status;
    return 0;
}

int clinux_note_stop(int tid) {
    siginfo_t info = {0};
    int flags = WSTOPPED | WNOHANG | __WALL | __WNOTHREAD;
    return (int)outcome(waitid(P_PID, (id_t)tid, &info, flags));
}

int clinux_reap(int tid) {
    siginfo_t info = {0};
    int flags = WEXITED | WNOHANG | __WALL | __WNOTHREAD;
    return (int)outcome(waitid(P_PID, (id_t)tid, &info, flags));
}

int clinux_reap_sibling(int tid) {
    siginfo_t info = {0};
    return (int)outcome(waitid(P_PID, (id_t)tid, &info, WEXITED | WNOHANG | __WALL));
}

long clinux_read_memory(int pid, uint64_t address, void *bytes, size_t count) {
    struct iovec local = {bytes, count};
    struct iovec remote = {(void *)address, count};
    return outcome(process_vm_readv(pid, &local, 1, &remote, 1, 0));
}

long clinux_read_ranges(
    int pid, const struct clinux_range *ranges, unsigned long ranges_count, void *bytes,
    size_t count) {
    struct iovec local = {bytes, count};
    return outcome(
        process_vm_readv(pid, &local, 1, (const struct iovec *)ranges, ranges_count, 0));
}

int clinux_compare_memory(int pid, int other) {
    return (int)outcome(syscall(SYS_kcmp, pid, other, KCMP_VM, 0, 0));
}

long clinux_directory_entries(int descriptor, void *bytes, size_t count) {
    return outcome(getdents64(descriptor, bytes, count));
}

int clinux_limit(
    int pid, int resource, const struct rlimit *new_limit, struct rlimit *old_limit) {
    return (int)outcome(prlimit(pid, (enum __rlimit_resource)resource, new_limit, old_limit));
}
