// What the calls of blockers.c block on. Each piece is made once, by the one
// thread that uses it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// The value of `make` when it was first asked for.
#define ONCE(make)                        \
    ({                                    \
        static int kept = -1;             \
        if (kept < 0) kept = (int)(make); \
        kept;                             \
    })

static int empty_queue, full_queue, semaphore_id, locked_file, pi_word;
static pid_t sleeping_child;
static char fifo[64];
static aio_context_t aio;

static int empty_pipe(void) {
    int ends[2];
    return pipe(ends) ? -1 : ends[0];
}
static int writable_pipe(void) {
    int ends[2];
    return pipe(ends) ? -1 : ends[1];
}
static int full_pipe(void) {
    static const char bytes[128];
    int ends[2];
    if (pipe(ends)) return -1;
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], bytes, sizeof bytes) > 0) {}
    fcntl(ends[1], F_SETFL, 0);
    return ends[1];
}
// With a time-out by SO_RCVTIMEO or SO_SNDTIMEO, or without one.
static int silent_socket(int option, struct timeval timeout) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return -1;
    if (option) setsockopt(ends[0], SOL_SOCKET, option, &timeout, sizeof timeout);
    return ends[0];
}
static int full_socket(int option, struct timeval timeout) {
    static const char bytes[128];
    int end = silent_socket(option, timeout);
    while (send(end, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {}
    return end;
}
static int listener(int option, struct timeval timeout) {
    int end = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (bind(end, (void *)&name, sizeof(sa_family_t)) || listen(end, 0)) return -1;
    if (option) setsockopt(end, SOL_SOCKET, option, &timeout, sizeof timeout);
    return end;
}
// One that a listener with no room left lets wait.
static int unwelcome_socket(struct sockaddr_un *name, socklen_t *length) {
    int other = listener(0, (struct timeval){0}), first = socket(AF_UNIX, SOCK_STREAM, 0);
    *length = sizeof *name;
    if (getsockname(other, (void *)name, length) || connect(first, (void *)name, *length))
        return -1;
    return socket(AF_UNIX, SOCK_STREAM, 0);
}
static int silent_terminal(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) return -1;
    return open(ptsname(master), O_RDWR | O_NOCTTY);
}
static mqd_t message_queue(int is_full) {
    static atomic_int number;
    char name[64];
    snprintf(name, sizeof name, "/hotpatch-test-%d-%d", getpid(), number++);
    struct mq_attr shape = {.mq_maxmsg = 1, .mq_msgsize = 8};
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, &shape);
    mq_unlink(name);
    if (is_full) mq_send(queue, "", 1, 0);
    return queue;
}
static int silent_ring(void) {
    struct io_uring_params parameters = {0};
    return (int)syscall(SYS_io_uring_setup, 4, &parameters);
}
static int locked_again(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", locked_file);
    return open(path, O_RDWR);
}
static int distant_timer(void) {
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec later = {{0, 0}, {360000, 0}};
    timerfd_settime(timer, 0, &later, NULL);
    return timer;
}
static sigset_t no_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    return set;
}
static sigset_t unused_signal(void) {
    sigset_t set = no_signals();
    sigaddset(&set, SIGUSR2);
    return set;
}

// In a child: holds byte 0 of the locked file, and removes what would outlive
// this process when it is gone, killed or not.
static void hold_and_clean(pid_t parent, int ready) {
    struct flock held = {.l_type = F_WRLCK, .l_len = 1};
    fcntl(locked_file, F_SETLK, &held);
    close(ready);
    while (getppid() == parent) usleep(50000);
    msgctl(empty_queue, IPC_RMID, NULL);
    msgctl(full_queue, IPC_RMID, NULL);
    semctl(semaphore_id, 0, IPC_RMID);
    unlink(fifo);
    _exit(0);
}

static int make_objects(void) {
    sigset_t set = unused_signal();
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t self = getpid();
    int ready[2];
    snprintf(fifo, sizeof fifo, "/tmp/hotpatch-test-fifo.%d", self);
    empty_queue = msgget(IPC_PRIVATE, 0600);
    full_queue = msgget(IPC_PRIVATE, 0600);
    semaphore_id = semget(IPC_PRIVATE, 1, 0600);
    locked_file = memfd_create("lock", 0);
    if (write(locked_file, "", 1) != 1) return -1;
    if (mkfifo(fifo, 0600) || pipe(ready)) return -1;
    sleeping_child = fork();
    if (sleeping_child == 0) {
        close(ready[0]);
        hold_and_clean(self, ready[1]);
    }
    char none;
    close(ready[1]);
    if (read(ready[0], &none, 1) != 0) return -1;

    struct { long kind; char text[1024]; } message = {.kind = 1};
    while (msgsnd(full_queue, &message, sizeof message.text, IPC_NOWAIT) == 0) {}
    // Byte 0 is the child's.
    struct flock held = {.l_type = F_WRLCK, .l_start = 1, .l_len = 1};
    fcntl(locked_file, F_OFD_SETLK, &held);
    flock(locked_file, LOCK_EX);
    syscall(SYS_io_setup, 8, &aio);
    syscall(SYS_futex, &pi_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
    return 0;
}
