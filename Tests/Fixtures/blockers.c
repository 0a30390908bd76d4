// One thread in each kind of blocking call, for ever. Whatever one of them
// returns is counted: nothing ever happens here, so every return is a mistake.
//   blockers [NAME [alone]]
// Prints "ready", and answers each line of input with "NAME:ERRNO*COUNT ..." of
// the calls that returned, or "none". With a name, only that call is made; with
// "alone", by the only thread of another process, told as "ready PID".
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
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
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct timespec hour = {3600, 0};
static struct timeval hour_value = {3600, 0};
static int queue_id, semaphore_id, locked_file;
static pid_t sleeping_child;
static char scratch[128];
static aio_context_t aio;

static int empty_pipe(void) {
    int ends[2];
    return pipe(ends) ? -1 : ends[0];
}
static int full_pipe(void) {
    int ends[2];
    if (pipe(ends)) return -1;
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], scratch, sizeof scratch) > 0) {}
    fcntl(ends[1], F_SETFL, 0);
    return ends[1];
}
static int silent_socket(int option) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return -1;
    if (option) setsockopt(ends[0], SOL_SOCKET, option, &hour_value, sizeof hour_value);
    return ends[0];
}
static int full_socket(int option) {
    int end = silent_socket(option);
    while (send(end, scratch, sizeof scratch, MSG_DONTWAIT) > 0) {}
    return end;
}
static int listener(int option) {
    int end = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (bind(end, (void *)&name, sizeof(sa_family_t)) || listen(end, 1)) return -1;
    if (option) setsockopt(end, SOL_SOCKET, option, &hour_value, sizeof hour_value);
    return end;
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
static struct epoll_event event;
static int futex_word;

static long call_epoll_wait(void) { return epoll_wait(epoll_create1(0), &event, 1, -1); }
static long call_epoll_finite(void) { return epoll_wait(epoll_create1(0), &event, 1, 3600000); }
static long call_epoll_pwait(void) {
    sigset_t set = no_signals();
    return epoll_pwait(epoll_create1(0), &event, 1, -1, &set);
}
static long call_epoll_pwait2(void) {
    sigset_t set = no_signals();
    return epoll_pwait2(epoll_create1(0), &event, 1, &hour, &set);
}
static long call_sigtimedwait(void) {
    sigset_t set = unused_signal();
    return sigtimedwait(&set, NULL, &hour);
}
static long call_sigwaitinfo(void) {
    sigset_t set = unused_signal();
    return sigwaitinfo(&set, NULL);
}
static long call_semop(void) {
    struct sembuf down = {0, -1, 0};
    return semop(semaphore_id, &down, 1);
}
static long call_semtimedop(void) {
    struct sembuf down = {0, -1, 0};
    return semtimedop(semaphore_id, &down, 1, &hour);
}
static long call_io_getevents(void) {
    struct io_event one;
    return syscall(SYS_io_getevents, aio, 1, 1, &one, NULL);
}
static long call_recv_timeout(void) { return recv(silent_socket(SO_RCVTIMEO), scratch, 1, 0); }
static long call_read_timeout(void) { return read(silent_socket(SO_RCVTIMEO), scratch, 1); }
static long call_accept_timeout(void) { return accept(listener(SO_RCVTIMEO), NULL, NULL); }
static long call_send_timeout(void) { return send(full_socket(SO_SNDTIMEO), scratch, 1, 0); }
static long call_recv(void) { return recv(silent_socket(0), scratch, 1, 0); }
static long call_recvmsg(void) {
    struct msghdr message = {0};
    return recvmsg(silent_socket(0), &message, 0);
}
static long call_accept(void) { return accept(listener(0), NULL, NULL); }
static long call_send(void) { return send(full_socket(0), scratch, 1, 0); }
static long call_read_pipe(void) { return read(empty_pipe(), scratch, 1); }
static long call_write_pipe(void) { return write(full_pipe(), scratch, sizeof scratch); }
static long call_poll(void) {
    struct pollfd one = {empty_pipe(), POLLIN, 0};
    return poll(&one, 1, -1);
}
static long call_poll_finite(void) {
    struct pollfd one = {empty_pipe(), POLLIN, 0};
    return poll(&one, 1, 3600000);
}
static long call_ppoll(void) {
    struct pollfd one = {empty_pipe(), POLLIN, 0};
    return ppoll(&one, 1, &hour, NULL);
}
static long call_select(void) {
    fd_set set;
    FD_ZERO(&set);
    int end = empty_pipe();
    FD_SET(end, &set);
    return select(end + 1, &set, NULL, NULL, NULL);
}
static long call_pselect(void) { return pselect(0, NULL, NULL, NULL, &hour, NULL); }
static long call_pause(void) { return pause(); }
static long call_sigsuspend(void) {
    sigset_t set = no_signals();
    return sigsuspend(&set);
}
static long call_nanosleep(void) { return nanosleep(&hour, NULL); }
static long call_clock_nanosleep(void) {
    errno = clock_nanosleep(CLOCK_REALTIME, 0, &hour, NULL);
    return -1;
}
static long call_futex(void) {
    return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0);
}
static long call_futex_finite(void) {
    return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, &hour, NULL, 0);
}
static long call_sem_wait(void) {
    static sem_t zero;
    return sem_wait(&zero);
}
static long call_msgrcv(void) { return msgrcv(queue_id, scratch, 1, 7, 0); }
static long call_mq_receive(void) {
    char name[64];
    snprintf(name, sizeof name, "/hotpatch-test-%d", getpid());
    struct mq_attr shape = {.mq_maxmsg = 1, .mq_msgsize = 8};
    mqd_t queue = mq_open(name, O_RDONLY | O_CREAT, 0600, &shape);
    mq_unlink(name);
    return mq_receive(queue, scratch, sizeof scratch, NULL);
}
static long call_wait4(void) { return waitpid(sleeping_child, NULL, 0); }
static long call_waitid(void) {
    siginfo_t info;
    return waitid(P_PID, (id_t)sleeping_child, &info, WEXITED);
}
static long call_flock(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", locked_file);
    return flock(open(path, O_RDWR), LOCK_EX);
}
static long call_eventfd(void) { return read(eventfd(0, 0), scratch, 8); }
static long call_timerfd(void) {
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec later = {{0, 0}, {3600, 0}};
    timerfd_settime(timer, 0, &later, NULL);
    return read(timer, scratch, 8);
}
static long call_signalfd(void) {
    sigset_t set = unused_signal();
    return read(signalfd(-1, &set, 0), scratch, sizeof scratch);
}
static long call_inotify(void) { return read(inotify_init(), scratch, sizeof scratch); }

#define CALL(name) {#name, call_##name}
static const struct {
    const char *name;
    long (*enter)(void);
} calls[] = {
    CALL(epoll_wait), CALL(epoll_finite), CALL(epoll_pwait), CALL(epoll_pwait2),
    CALL(sigtimedwait), CALL(sigwaitinfo), CALL(semop), CALL(semtimedop), CALL(io_getevents),
    CALL(recv_timeout), CALL(read_timeout), CALL(accept_timeout), CALL(send_timeout), CALL(recv),
    CALL(recvmsg), CALL(accept), CALL(send), CALL(read_pipe), CALL(write_pipe), CALL(poll),
    CALL(poll_finite), CALL(ppoll), CALL(select), CALL(pselect), CALL(pause), CALL(sigsuspend),
    CALL(nanosleep), CALL(clock_nanosleep), CALL(futex), CALL(futex_finite), CALL(sem_wait),
    CALL(msgrcv), CALL(mq_receive), CALL(wait4), CALL(waitid), CALL(flock), CALL(eventfd),
    CALL(timerfd), CALL(signalfd), CALL(inotify),
};
enum { call_count = sizeof calls / sizeof *calls };
static struct {
    atomic_int entered;
    struct {
        atomic_int returns, error;
    } of[call_count];
} *counts;

static void *block(void *which) {
    long index = (long)which;
    for (;;) {
        counts->entered++;
        long result = calls[index].enter();
        counts->of[index].error = result < 0 ? errno : 0;
        counts->of[index].returns++;
    }
    return NULL;
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

static void make_objects(void) {
    sigset_t set = unused_signal();
    sigprocmask(SIG_BLOCK, &set, NULL);
    queue_id = msgget(IPC_PRIVATE, 0600);
    semaphore_id = semget(IPC_PRIVATE, 1, 0600);
    pid_t self = getpid();
    sleeping_child = fork();
    if (sleeping_child == 0) {
        // These outlive whoever made them, killed or not.
        while (getppid() == self) usleep(50000);
        msgctl(queue_id, IPC_RMID, NULL);
        semctl(semaphore_id, 0, IPC_RMID);
        _exit(0);
    }
    locked_file = memfd_create("lock", 0);
    flock(locked_file, LOCK_EX);
    syscall(SYS_io_setup, 4, &aio);
}

static int report(void) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        int any = 0;
        for (int i = 0; i < call_count; i++) {
            if (counts->of[i].returns == 0) continue;
            printf("%s:%d*%d ", calls[i].name, counts->of[i].error, counts->of[i].returns);
            any = 1;
        }
        puts(any ? "" : "none");
        fflush(stdout);
    }
    return 0;
}

int main(int count, char **arguments) {
    const char *only = count > 1 ? arguments[1] : NULL;
    counts = mmap(
        NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count > 2) {
        pid_t other = leave_alone();
        if (other) {
            while (counts->entered < 1) usleep(1000);
            printf("ready %d\n", other);
            fflush(stdout);
            return report();
        }
    }
    make_objects();
    int started = 0;
    for (long i = 0; i < call_count; i++) {
        if (only && strcmp(only, calls[i].name) != 0) continue;
        if (count > 2) block((void *)i);
        started++;
        pthread_t thread;
        if (pthread_create(&thread, NULL, block, (void *)i)) return 1;
    }
    if (started == 0) return 2;
    while (counts->entered < started) usleep(1000);
    puts("ready");
    fflush(stdout);
    return report();
}
