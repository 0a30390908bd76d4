// Calls that end by their time-out, 30 ms, again and again.

enum { TIMEOUT = 30000000 };  // ns
static const struct timespec wait_time = {0, TIMEOUT};
static struct timeval wait_value = {0, TIMEOUT / 1000};

static struct timespec soon(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    time.tv_nsec += TIMEOUT;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}
static long ring_with_timeout(void) {
    struct __kernel_timespec time = {0, TIMEOUT};
    struct io_uring_getevents_arg argument = {.ts = (uintptr_t)&time};
    return syscall(
        SYS_io_uring_enter, ONCE(silent_ring()), 0, 1,
        IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof argument);
}
static long wait_on_timed_condition(void) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    struct timespec time = soon(CLOCK_REALTIME);
    pthread_mutex_lock(&mutex);
    int number;
    while ((number = pthread_cond_timedwait(&condition, &mutex, &time)) == 0) {}
    pthread_mutex_unlock(&mutex);
    return by_number(number);
}

#define TIMED_SOCKET(kind, option) ONCE(kind(option, wait_value))
#define UNTIL(clock, call) WITH(struct timespec, time, soon(clock), call)

// The call, how it is to end (an error number, or 0 for the result 0), and whether
// the kernel counts its time in ticks, of which the first may be over at once.
#define TIMED(X)                                                                                 \
    X(timed_epoll_wait, 0, 0, epoll_wait(ONCE(epoll_create1(0)), &event, 1, TIMEOUT / 1000000))  \
    X(timed_epoll_pwait, 0, 0,                                                                   \
      WITH(sigset_t, set, no_signals(),                                                          \
           epoll_pwait(ONCE(epoll_create1(0)), &event, 1, TIMEOUT / 1000000, &set)))             \
    X(timed_epoll_pwait2, 0, 0, epoll_pwait2(ONCE(epoll_create1(0)), &event, 1, &wait_time, NULL)) \
    X(timed_poll, 0, 0, POLL(poll, TIMEOUT / 1000000))                                           \
    X(timed_ppoll, 0, 0, POLL(ppoll, &wait_time, NULL))                                          \
    X(timed_select, 0, 0,                                                                        \
      WITH(struct timeval, time, wait_value, select_on(ONCE(empty_pipe()), &time)))              \
    X(timed_pselect, 0, 0, pselect(0, NULL, NULL, NULL, &wait_time, NULL))                       \
    X(timed_nanosleep, 0, 0, nanosleep(&wait_time, NULL))                                        \
    X(timed_clock_nanosleep, 0, 0,                                                               \
      by_number(clock_nanosleep(CLOCK_MONOTONIC, 0, &wait_time, NULL)))                          \
    X(timed_nanosleep_until, 0, 0,                                                               \
      UNTIL(CLOCK_MONOTONIC,                                                                     \
            by_number(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL))))            \
    X(timed_sigtimedwait, EAGAIN, 0,                                                             \
      WITH(sigset_t, set, unused_signal(), sigtimedwait(&set, NULL, &wait_time)))                \
    X(timed_semtimedop, EAGAIN, 0, semaphore(&wait_time))                                        \
    X(timed_io_getevents, 0, 0,                                                                  \
      WITH(struct io_event, one, {0},                                                            \
           WITH(struct timespec, time, wait_time,                                                \
                syscall(SYS_io_getevents, aio, 1, 1, &one, &time))))                             \
    X(timed_io_pgetevents, 0, 0,                                                                 \
      WITH(struct io_event, one, {0},                                                            \
           WITH(struct timespec, time, wait_time,                                                \
                syscall(SYS_io_pgetevents, aio, 1, 1, &one, &time, NULL))))                      \
    X(timed_io_uring_enter, ETIME, 0, ring_with_timeout())                                       \
    X(timed_recv, EAGAIN, 1, recv(TIMED_SOCKET(silent_socket, SO_RCVTIMEO), room, 1, 0))         \
    X(timed_recvmsg, EAGAIN, 1, recvmsg(TIMED_SOCKET(silent_socket, SO_RCVTIMEO), &message, 0))  \
    X(timed_recvmmsg, EAGAIN, 1,                                                                 \
      recvmmsg(TIMED_SOCKET(silent_socket, SO_RCVTIMEO), &messages, 1, 0, NULL))                 \
    X(timed_read, EAGAIN, 1, read(TIMED_SOCKET(silent_socket, SO_RCVTIMEO), room, 1))            \
    X(timed_readv, EAGAIN, 1, readv(TIMED_SOCKET(silent_socket, SO_RCVTIMEO), &one_byte, 1))     \
    X(timed_accept, EAGAIN, 1, accept(TIMED_SOCKET(listener, SO_RCVTIMEO), NULL, NULL))          \
    X(timed_send, EAGAIN, 1, send(TIMED_SOCKET(full_socket, SO_SNDTIMEO), room, 1, 0))           \
    X(timed_sendmsg, EAGAIN, 1, sendmsg(TIMED_SOCKET(full_socket, SO_SNDTIMEO), &message, 0))    \
    X(timed_write, EAGAIN, 1, write(TIMED_SOCKET(full_socket, SO_SNDTIMEO), room, 1))            \
    X(timed_futex, ETIMEDOUT, 0, futex(&futex_word, FUTEX_WAIT, 0, &wait_time))                  \
    X(timed_futex_until, ETIMEDOUT, 0,                                                           \
      UNTIL(CLOCK_MONOTONIC, futex(&futex_word, FUTEX_WAIT_BITSET, 0, &time)))                   \
    X(timed_futex_pi, ETIMEDOUT, 0,                                                              \
      UNTIL(CLOCK_REALTIME, futex(&pi_word, FUTEX_LOCK_PI, 0, &time)))                           \
    X(timed_futex_vectors, ETIMEDOUT, 0, UNTIL(CLOCK_MONOTONIC, vectors_futex(&time)))           \
    X(timed_mutex, ETIMEDOUT, 0,                                                                 \
      UNTIL(CLOCK_REALTIME, by_number(pthread_mutex_timedlock(&held_mutex, &time))))             \
    X(timed_condition, ETIMEDOUT, 0, wait_on_timed_condition())                                  \
    X(timed_semaphore, ETIMEDOUT, 0,                                                             \
      UNTIL(CLOCK_REALTIME, ({ static sem_t zero; sem_timedwait(&zero, &time); })))              \
    X(timed_mq_receive, ETIMEDOUT, 0,                                                            \
      UNTIL(CLOCK_REALTIME,                                                                      \
            mq_timedreceive(ONCE(message_queue(0)), room, sizeof room, NULL, &time)))            \
    X(timed_mq_send, ETIMEDOUT, 0,                                                               \
      UNTIL(CLOCK_REALTIME, mq_timedsend(ONCE(message_queue(1)), room, 1, 0, &time)))
