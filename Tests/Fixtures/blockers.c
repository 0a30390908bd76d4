// A thread in each kind of blocking call.
//   blockers [NAME [alone]]
// Prints "ready" once all are in their calls, or "ready PID NAME..." with the
// calls that this kernel does not have, and answers lines of input:
//   report     "NAME:ERRNO*COUNT ..." of the endless calls that returned though no
//              signal came, and of timed ones that ended as they should not or
//              too early; or "none"
//   answer     what the function says that tests patch
//   interrupt  begins to send the endless calls signals with a handler
//   calm       ends that: "interrupted N missed M", where M signals came when a
//              thread had not entered its call; or "stuck NAME"
//   late       a line "NAME START END" for each timed call that lasted at least
//              20 ms too long, in ns of CLOCK_MONOTONIC, and a line "end"
// With a name, only that call is made; with "alone", by the only thread of
// another process, told as "ready PID".
#include "blockers-objects.h"

#include "blockers-endless.h"
#include "blockers-timed.h"

// noipa: no caller may know anything about it.
__attribute__((noipa)) int answer(void) { return 1; }

#define DEFINE_ENDLESS(name, ends, call) static long call_##name(void) { return call; }
#define DEFINE_TIMED(name, error, ticks, call) static long call_##name(void) { return call; }
ENDLESS(DEFINE_ENDLESS)
TIMED(DEFINE_TIMED)

#define ENDLESS_ROW(name, ends, call) {#name, call_##name, 0, ends, 0, 0},
#define TIMED_ROW(name, error, ticks, call) {#name, call_##name, 1, 0, error, ticks},
static const struct {
    const char *name;
    long (*enter)(void);
    int is_timed, is_interrupted, error, by_ticks;
} calls[] = {ENDLESS(ENDLESS_ROW) TIMED(TIMED_ROW)};
enum { call_count = sizeof calls / sizeof *calls, late_count = 1 << 18 };

// Shared with the process that makes a call alone.
static struct {
    atomic_int entered;
    struct {
        atomic_int thread, is_missing, mistakes, error, interrupted, handled;
    } of[call_count];
    atomic_int late_used;
    struct {
        int call;
        uint64_t start, end;
    } late[late_count];
} *state;
static _Thread_local int current;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}
static void handle(int signal) {
    (void)signal;
    state->of[current].handled++;
}
static void mistake(int call, int error) {
    state->of[call].error = error;
    state->of[call].mistakes++;
}

static void make_timed(int call, uint64_t start, int error) {
    // The kernel's own clock may be a tick behind.
    uint64_t end = now(), least = calls[call].by_ticks ? TIMEOUT - 10000000 : TIMEOUT;
    if (error != calls[call].error || end - start < least) mistake(call, error);
    if (end - start < TIMEOUT + 20000000) return;
    int index = state->late_used++;
    if (index >= late_count) return mistake(call, ENOBUFS);
    state->late[index].call = call;
    state->late[index].start = start;
    state->late[index].end = end;
}

static void *block(void *which) {
    int call = current = (int)(long)which;
    state->of[call].thread = (int)syscall(SYS_gettid);
    state->entered++;
    for (;;) {
        int handled = state->of[call].handled;
        uint64_t start = now();
        long result = calls[call].enter();
        int error = result < 0 ? errno : 0;
        if (error == ENOSYS || (error == EBADF && calls[call].enter == call_io_uring_enter) ||
            (error == EBADF && calls[call].enter == call_timed_io_uring_enter)) {
            state->of[call].is_missing = 1;
            return NULL;
        }
        if (calls[call].is_timed)
            make_timed(call, start, result > 0 ? EBADMSG : error);
        else if (error == EINTR && state->of[call].handled > handled)
            state->of[call].interrupted++;
        else
            mistake(call, error);
    }
}

// Whether a thread sleeps: an endless one does so in its call only.
static int is_asleep(int call) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", state->of[call].thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) return 0;
    text[count] = 0;
    char *end = strrchr(text, ')');
    return end && end[2] == 'S';
}

static atomic_int keeps_interrupting, missed, stuck = -1;

static void interrupt(int call) {
    int before = state->of[call].interrupted;
    for (int tries = 0; tries < 50; tries++) {
        while (!is_asleep(call)) usleep(100);
        int handled = state->of[call].handled;
        syscall(SYS_tgkill, getpid(), state->of[call].thread, SIGUSR1);
        while (state->of[call].handled == handled) usleep(100);
        // It has returned, or sleeps again because it had not entered the call.
        for (int looks = 0; looks < 20; looks++) {
            if (state->of[call].interrupted > before) return;
            looks = is_asleep(call) ? looks : 0;
            usleep(100);
        }
        missed++;
    }
    stuck = call;
}

static void *keep_interrupting(void *unused) {
    while (keeps_interrupting)
        for (int call = 0; call < call_count && keeps_interrupting && stuck < 0; call++)
            if (calls[call].is_interrupted && !state->of[call].is_missing) interrupt(call);
    return unused;
}

static void list_late(void) {
    for (int i = 0; i < state->late_used && i < late_count; i++)
        printf(
            "%s %lu %lu\n", calls[state->late[i].call].name, state->late[i].start,
            state->late[i].end);
    puts("end");
}

static void list_mistakes(void) {
    int any = 0;
    for (int i = 0; i < call_count; i++) {
        if (state->of[i].mistakes == 0) continue;
        printf("%s:%d*%d ", calls[i].name, state->of[i].error, state->of[i].mistakes);
        any = 1;
    }
    puts(any ? "" : "none");
}

static void calm(pthread_t thread) {
    keeps_interrupting = 0;
    pthread_join(thread, NULL);
    int interrupted = 0;
    for (int i = 0; i < call_count; i++) interrupted += state->of[i].interrupted;
    if (stuck >= 0)
        printf("stuck %s\n", calls[stuck].name);
    else
        printf("interrupted %d missed %d\n", interrupted, missed);
}

static int serve(void) {
    char line[64];
    pthread_t interrupter = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "answer\n") == 0) {
            printf("%d\n", answer());
        } else if (strcmp(line, "late\n") == 0) {
            list_late();
        } else if (strcmp(line, "interrupt\n") == 0) {
            keeps_interrupting = 1;
            if (pthread_create(&interrupter, NULL, keep_interrupting, NULL)) return 1;
            puts("begun");
        } else if (strcmp(line, "calm\n") == 0) {
            calm(interrupter);
        } else {
            list_mistakes();
        }
        fflush(stdout);
    }
    return 0;
}

// Whether this process is to make the calls; the other one answers.
static pid_t leave_alone(void) {
    pid_t self = getpid(), other = fork();
    if (other == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != self) _exit(1);
    }
    return other;
}

static void say_ready(void) {
    printf("ready %d", getpid());
    for (int i = 0; i < call_count; i++)
        if (state->of[i].is_missing) printf(" %s", calls[i].name);
    puts("");
    fflush(stdout);
}

int main(int count, char **arguments) {
    const char *only = count > 1 ? arguments[1] : NULL;
    state = mmap(
        NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_handler = handle};
    sigaction(SIGUSR1, &action, NULL);
    if (count > 2) {
        pid_t other = leave_alone();
        if (other) {
            while (state->entered < 1) usleep(1000);
            printf("ready %d\n", other);
            fflush(stdout);
            return serve();
        }
    }
    pthread_mutex_lock(&held_mutex);
    if (make_objects()) return 3;
    int started = 0;
    for (long i = 0; i < call_count; i++) {
        if (only && strcmp(only, calls[i].name) != 0) continue;
        if (count > 2) block((void *)i);
        pthread_t thread;
        if (pthread_create(&thread, NULL, block, (void *)i)) return 1;
        started++;
    }
    if (started == 0) return 2;
    while (state->entered < started) usleep(1000);
    // All those that have not returned for want of the call have entered it.
    usleep(20000);
    say_ready();
    return serve();
}
