// stationd: a small daemon with a pool of threads, for trying hotpatch on.
//
//     stationd [PORT [THREADS]]
//
// listens on 127.0.0.1 (port 0: the kernel chooses) and prints the port. Each
// thread waits for any connection with a line to answer.
#define _GNU_SOURCE
#include "stationd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

atomic_ulong served_requests;
atomic_ulong interrupted_calls;

static int listener;
static int readiness;  // the epoll descriptor that all threads wait on

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct session *free_sessions;

static void fail(const char *what) {
    fprintf(stderr, "stationd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct session *take_session(void) {
    pthread_mutex_lock(&pool_lock);
    struct session *session = free_sessions;
    if (session != NULL)
        free_sessions = session->next_free;
    pthread_mutex_unlock(&pool_lock);
    if (session == NULL)
        session = calloc(1, sizeof *session);
    return session;
}

static void give_back(struct session *session) {
    pthread_mutex_lock(&pool_lock);
    session->next_free = free_sessions;
    free_sessions = session;
    pthread_mutex_unlock(&pool_lock);
}

// The session first, so that a client that sees the connection closed knows
// that its session is in the pool.
static void close_session(struct session *session) {
    int socket = session->socket;
    give_back(session);
    close(socket);
}

static void wait_for(int descriptor, int operation, void *what) {
    // One shot: a connection is served by one thread at a time.
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = what};
    if (epoll_ctl(readiness, operation, descriptor, &event) < 0)
        fail("epoll_ctl");
}

static void accept_connection(void) {
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int error = errno;
    wait_for(listener, EPOLL_CTL_MOD, NULL);
    if (connection < 0) {
        if (error == EINTR)
            atomic_fetch_add(&interrupted_calls, 1);
        return;
    }
    struct session *session = take_session();
    if (session == NULL) {
        close(connection);
        return;
    }
    int on = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    session->socket = connection;
    session->wants_to_leave = 0;
    session->filled = 0;
    wait_for(connection, EPOLL_CTL_ADD, session);
}

static int send_all(int socket, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(socket, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            atomic_fetch_add(&interrupted_calls, 1);
            continue;
        }
        if (sent <= 0)
            return 0;
        bytes += sent;
        count -= (size_t)sent;
    }
    return 1;
}

// Answers every whole line that has arrived. Returns 0 where the connection is
// to be closed.
static int answer_lines(struct session *session) {
    for (;;) {
        char *newline = memchr(session->input, '\n', session->filled);
        if (newline == NULL)
            return session->filled < INPUT_SIZE;
        *newline = 0;
        char reply[REPLY_SIZE];
        answer(session, reply);
        atomic_fetch_add(&served_requests, 1);
        size_t length = strlen(reply);
        reply[length] = '\n';
        if (!send_all(session->socket, reply, length + 1) || session->wants_to_leave)
            return 0;
        size_t consumed = (size_t)(newline + 1 - session->input);
        session->filled -= consumed;
        memmove(session->input, newline + 1, session->filled);
    }
}

static void serve(struct session *session) {
    ssize_t got = recv(session->socket, session->input + session->filled,
                       INPUT_SIZE - session->filled, 0);
    if (got < 0 && errno == EINTR) {
        atomic_fetch_add(&interrupted_calls, 1);
        got = 0;
    } else if (got <= 0) {
        close_session(session);
        return;
    }
    session->filled += (size_t)got;
    if (answer_lines(session))
        wait_for(session->socket, EPOLL_CTL_MOD, session);
    else
        close_session(session);
}

static void *worker(void *unused) {
    (void)unused;
    for (;;) {
        struct epoll_event event;
        int count = epoll_wait(readiness, &event, 1, -1);
        if (count < 0 && errno == EINTR)
            atomic_fetch_add(&interrupted_calls, 1);
        else if (count < 0)
            fail("epoll_wait");
        else if (count == 1 && event.data.ptr == NULL)
            accept_connection();
        else if (count == 1)
            serve(event.data.ptr);
    }
    return NULL;
}

static int listen_on(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((in_port_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t length = sizeof address;
    int on = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0)
        fail("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, length) < 0)
        fail("bind");
    if (listen(listener, SOMAXCONN) < 0)
        fail("listen");
    if (getsockname(listener, (struct sockaddr *)&address, &length) < 0)
        fail("getsockname");
    return ntohs(address.sin_port);
}

int main(int argc, char **argv) {
    int wanted_port = argc > 1 ? atoi(argv[1]) : 0;
    int threads = argc > 2 ? atoi(argv[2]) : 8;
    if (argc > 3 || wanted_port < 0 || wanted_port > 65535 || threads < 1) {
        fprintf(stderr, "usage: stationd [PORT [THREADS]]\n");
        return 64;
    }

    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);

    load_stations();
    int port = listen_on(wanted_port);
    readiness = epoll_create1(EPOLL_CLOEXEC);
    if (readiness < 0)
        fail("epoll_create1");
    wait_for(listener, EPOLL_CTL_ADD, NULL);
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        if ((errno = pthread_create(&thread, NULL, worker, NULL)) != 0)
            fail("pthread_create");
    }
    printf("stationd: pid %d, listening on 127.0.0.1 port %d, %d threads\n", (int)getpid(), port,
           threads);
    fflush(stdout);

    int signal;
    sigwait(&ends, &signal);
    return 0;
}
