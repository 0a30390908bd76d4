// Calls that block for ever: nothing of what they wait for happens, and where
// they have a time-out it is far away. Every return but EINTR for a signal with a
// handler is a mistake.
//
// Of the calls that signal(7) lists, connect stands here without a time-out only:
// with SO_SNDTIMEO the kernel ends it with EINTR and goes on connecting, and a
// second connect would not be the same call. ioctl has no device here that blocks;
// getrandom blocks only before the machine's first random numbers.

static char room[128];
static const struct timespec days = {360000, 0};
static struct timeval days_value = {360000, 0};
static struct timeval never;
static struct epoll_event event;
static int futex_word;
static struct sockaddr_un listener_name;
static socklen_t listener_length;

static struct iovec one_byte = {room, 1};
static struct msghdr message = {.msg_iov = &one_byte, .msg_iovlen = 1};
static struct mmsghdr messages = {.msg_hdr = {.msg_iov = &one_byte, .msg_iovlen = 1}};

static struct timespec after_days(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    time.tv_sec += days.tv_sec;
    return time;
}
static long futex(int *word, int operation, int value, const struct timespec *time) {
    return syscall(SYS_futex, word, operation, value, time, NULL, FUTEX_BITSET_MATCH_ANY);
}
static long lock(int descriptor, int command, off_t byte) {
    struct flock wanted = {.l_type = F_WRLCK, .l_start = byte, .l_len = 1};
    return fcntl(descriptor, command, &wanted);
}
// pthread functions return the error number.
static long by_number(int number) {
    errno = number;
    return number ? -1 : 0;
}
static pthread_mutex_t held_mutex = PTHREAD_MUTEX_INITIALIZER;
static long wait_on_condition(void) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&mutex);
    while (pthread_cond_wait(&condition, &mutex) == 0) {}
    return -1;
}
static long semaphore(const struct timespec *time) {
    struct sembuf down = {0, -1, 0};
    return time ? semtimedop(semaphore_id, &down, 1, time) : semop(semaphore_id, &down, 1);
}
static long select_on(int end, struct timeval *time) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(end, &set);
    return select(end + 1, &set, NULL, NULL, time);
}
static long vectors_futex(const struct timespec *time) {
    struct futex_waitv waiter = {
        .uaddr = (uintptr_t)&futex_word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG};
    return syscall(SYS_futex_waitv, &waiter, 1, 0, time, CLOCK_MONOTONIC);
}

#define POLL(call, ...)                                             \
    ({                                                              \
        struct pollfd one = {ONCE(empty_pipe()), POLLIN, 0};        \
        call(&one, 1, __VA_ARGS__);                                 \
    })
#define WITH(type, name, value, call) \
    ({                                \
        type name = value;            \
        call;                         \
    })
#define SOCKET(kind, option) ONCE(kind(option, (option) ? days_value : never))

// The call, and whether a signal with a handler makes it return EINTR.
#define ENDLESS(X)                                                                              \
    X(epoll_wait, 1, epoll_wait(ONCE(epoll_create1(0)), &event, 1, -1))                         \
    X(epoll_finite, 1, epoll_wait(ONCE(epoll_create1(0)), &event, 1, 360000000))                \
    X(epoll_pwait, 1,                                                                           \
      WITH(sigset_t, set, no_signals(),                                                         \
           epoll_pwait(ONCE(epoll_create1(0)), &event, 1, -1, &set)))                           \
    X(epoll_pwait2, 1,                                                                          \
      WITH(sigset_t, set, no_signals(),                                                         \
           epoll_pwait2(ONCE(epoll_create1(0)), &event, 1, &days, &set)))                       \
    X(epoll_pwait2_endless, 1, epoll_pwait2(ONCE(epoll_create1(0)), &event, 1, NULL, NULL))     \
    X(sigtimedwait, 1, WITH(sigset_t, set, unused_signal(), sigtimedwait(&set, NULL, &days)))   \
    X(sigwaitinfo, 1, WITH(sigset_t, set, unused_signal(), sigwaitinfo(&set, NULL)))            \
    X(pause, 1, pause())                                                                        \
    X(sigsuspend, 1, WITH(sigset_t, set, no_signals(), sigsuspend(&set)))                       \
    X(semop, 1, semaphore(NULL))                                                                \
    X(semtimedop, 1, semaphore(&days))                                                          \
    X(msgrcv, 1, msgrcv(empty_queue, room, 1, 7, 0))                                            \
    X(msgsnd, 1,                                                                                \
      ({ struct { long kind; char text[1024]; } one = {.kind = 1};                              \
         msgsnd(full_queue, &one, sizeof one.text, 0); }))                                      \
    X(io_getevents, 1,                                                                          \
      WITH(struct io_event, one, {0}, syscall(SYS_io_getevents, aio, 1, 1, &one, NULL)))        \
    X(io_pgetevents, 1,                                                                         \
      WITH(struct io_event, one, {0},                                                           \
           syscall(SYS_io_pgetevents, aio, 1, 1, &one, &days, NULL)))                           \
    X(io_uring_enter, 1,                                                                        \
      syscall(SYS_io_uring_enter, ONCE(silent_ring()), 0, 1, IORING_ENTER_GETEVENTS, NULL, 0))  \
    X(recv_timeout, 1, recv(SOCKET(silent_socket, SO_RCVTIMEO), room, 1, 0))                    \
    X(recvmsg_timeout, 1, recvmsg(SOCKET(silent_socket, SO_RCVTIMEO), &message, 0))             \
    X(recvmmsg_timeout, 1, recvmmsg(SOCKET(silent_socket, SO_RCVTIMEO), &messages, 1, 0, NULL)) \
    X(read_timeout, 1, read(SOCKET(silent_socket, SO_RCVTIMEO), room, 1))                       \
    X(readv_timeout, 1, readv(SOCKET(silent_socket, SO_RCVTIMEO), &one_byte, 1))                \
    X(accept_timeout, 1, accept(SOCKET(listener, SO_RCVTIMEO), NULL, NULL))                     \
    X(accept4_timeout, 1, accept4(SOCKET(listener, SO_RCVTIMEO), NULL, NULL, SOCK_CLOEXEC))     \
    X(send_timeout, 1, send(SOCKET(full_socket, SO_SNDTIMEO), room, 1, 0))                      \
    X(sendmsg_timeout, 1, sendmsg(SOCKET(full_socket, SO_SNDTIMEO), &message, 0))               \
    X(sendmmsg_timeout, 1, sendmmsg(SOCKET(full_socket, SO_SNDTIMEO), &messages, 1, 0))         \
    X(write_timeout, 1, write(SOCKET(full_socket, SO_SNDTIMEO), room, 1))                       \
    X(writev_timeout, 1, writev(SOCKET(full_socket, SO_SNDTIMEO), &one_byte, 1))                \
    X(preadv2_timeout, 1,                                                                       \
      preadv2(SOCKET(silent_socket, SO_RCVTIMEO), &one_byte, 1, -1, 0))                         \
    X(pwritev2_timeout, 1, pwritev2(SOCKET(full_socket, SO_SNDTIMEO), &one_byte, 1, -1, 0))     \
    X(splice_timeout, 1,                                                                        \
      splice(SOCKET(silent_socket, SO_RCVTIMEO), NULL, ONCE(writable_pipe()), NULL, 1, 0))      \
    X(sendfile_timeout, 1,                                                                      \
      WITH(off_t, start, 0,                                                                     \
           sendfile(SOCKET(full_socket, SO_SNDTIMEO), locked_file, &start, 1)))                 \
    X(recv, 1, recv(SOCKET(silent_socket, 0), room, 1, 0))                                      \
    X(recvmsg, 1, recvmsg(SOCKET(silent_socket, 0), &message, 0))                               \
    X(recvmmsg, 1,                                                                              \
      WITH(struct timespec, time, days,                                                         \
           recvmmsg(SOCKET(silent_socket, 0), &messages, 1, 0, &time)))                         \
    X(accept, 1, accept(SOCKET(listener, 0), NULL, NULL))                                       \
    X(connect, 1,                                                                               \
      ({ int end = ONCE(unwelcome_socket(&listener_name, &listener_length));                    \
         connect(end, (void *)&listener_name, listener_length); }))                             \
    X(send, 1, send(SOCKET(full_socket, 0), room, 1, 0))                                        \
    X(sendmsg, 1, sendmsg(SOCKET(full_socket, 0), &message, 0))                                 \
    X(read_pipe, 1, read(ONCE(empty_pipe()), room, 1))                                          \
    X(readv_pipe, 1, readv(ONCE(empty_pipe()), &one_byte, 1))                                   \
    X(read_terminal, 1, read(ONCE(silent_terminal()), room, 1))                                 \
    X(write_pipe, 1, write(ONCE(full_pipe()), room, sizeof room))                               \
    X(writev_pipe, 1, writev(ONCE(full_pipe()), &one_byte, 1))                                  \
    X(sendfile, 1, WITH(off_t, start, 0, sendfile(ONCE(full_pipe()), locked_file, &start, 1)))  \
    X(splice, 1, splice(ONCE(empty_pipe()), NULL, ONCE(full_pipe()), NULL, 1, 0))               \
    X(tee, 1, tee(ONCE(empty_pipe()), ONCE(full_pipe()), 1, 0))                                 \
    X(open_fifo, 1, open(fifo, O_RDONLY))                                                       \
    X(poll, 1, POLL(poll, -1))                                                                  \
    X(poll_finite, 1, POLL(poll, 360000000))                                                    \
    X(ppoll, 1, POLL(ppoll, &days, NULL))                                                       \
    X(ppoll_endless, 1, POLL(ppoll, NULL, NULL))                                                \
    X(select, 1, select_on(ONCE(empty_pipe()), NULL))                                           \
    X(select_finite, 1,                                                                         \
      WITH(struct timeval, time, days_value, select_on(ONCE(empty_pipe()), &time)))             \
    X(pselect, 1, pselect(0, NULL, NULL, NULL, &days, NULL))                                    \
    X(nanosleep, 1, nanosleep(&days, NULL))                                                     \
    X(clock_nanosleep, 1, by_number(clock_nanosleep(CLOCK_REALTIME, 0, &days, NULL)))           \
    X(clock_nanosleep_until, 1,                                                                 \
      WITH(struct timespec, time, after_days(CLOCK_MONOTONIC),                                  \
           by_number(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL))))            \
    X(futex, 1, futex(&futex_word, FUTEX_WAIT, 0, NULL))                                        \
    X(futex_finite, 1, futex(&futex_word, FUTEX_WAIT, 0, &days))                                \
    X(futex_bitset, 1, futex(&futex_word, FUTEX_WAIT_BITSET, 0, NULL))                          \
    X(futex_until, 1,                                                                           \
      WITH(struct timespec, time, after_days(CLOCK_MONOTONIC),                                  \
           futex(&futex_word, FUTEX_WAIT_BITSET, 0, &time)))                                    \
    X(futex_vectors, 1, vectors_futex(NULL))                                                    \
    X(futex_pi, 0, futex(&pi_word, FUTEX_LOCK_PI, 0, NULL))                                     \
    X(mutex, 0, by_number(pthread_mutex_lock(&held_mutex)))                                     \
    X(condition, 0, wait_on_condition())                                                        \
    X(sem_wait, 1, ({ static sem_t zero; sem_wait(&zero); }))                                   \
    X(mq_receive, 1, mq_receive(ONCE(message_queue(0)), room, sizeof room, NULL))               \
    X(mq_send, 1, mq_send(ONCE(message_queue(1)), room, 1, 0))                                  \
    X(wait4, 1, waitpid(sleeping_child, NULL, 0))                                               \
    X(waitid, 1,                                                                                \
      WITH(siginfo_t, info, {0}, waitid(P_PID, (id_t)sleeping_child, &info, WEXITED)))          \
    X(flock, 1, flock(ONCE(locked_again()), LOCK_EX))                                           \
    X(record_lock, 1, lock(locked_file, F_SETLKW, 0))                                           \
    X(description_lock, 1, lock(ONCE(locked_again()), F_OFD_SETLKW, 1))                         \
    X(eventfd, 1, read(ONCE(eventfd(0, 0)), room, 8))                                           \
    X(timerfd, 1, read(ONCE(distant_timer()), room, 8))                                         \
    X(signalfd, 1,                                                                              \
      WITH(sigset_t, set, unused_signal(), read(ONCE(signalfd(-1, &set, 0)), room, sizeof room))) \
    X(inotify, 1, read(ONCE(inotify_init()), room, sizeof room))
