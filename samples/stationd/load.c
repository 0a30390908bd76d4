// load: keeps stationd busy and checks every single reply.
//
//     load PORT [--connections N] [--requests N] [--until-eof]
//               [--watch REQUEST --old PATTERN --new PATTERN]
//
// Each connection sends a fixed round of requests whose replies no fix changes
// and, with --watch, one more whose reply must match one of two patterns
// (fnmatch). It ends on SIGTERM or SIGINT, after N requests in all, or at the
// end of its standard input, and prints one line of JSON. A connection that
// cannot be made or breaks, a reply that is late, short or any other than
// expected: each is a failed request. Exit code 0: none failed.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1024, LINE_SIZE = 512, REPLY_SECONDS = 10 };

static const struct {
    const char *request, *reply;
} rounds[] = {
    {"PING", "PONG"},
    {"ECHO 5 hello", "hello"},
    {"LOGIN load secret", "WELCOME load"},
    {"STATION 1", "Fichtelberg"},
    {"REPORT 2 -7", "OK Zugspitze -7 C"},
    {"NOSUCH", "ERR unknown command"},
};

static struct {
    int port, connections, until_eof;
    unsigned long requests;
    const char *watch, *old, *new;
} options = {.connections = 4};

static atomic_ulong requests, failed, old_replies, new_replies;
static atomic_int stopping;
static atomic_int running;

static void complain(const char *request, const char *reply) {
    atomic_fetch_add(&failed, 1);
    fprintf(stderr, "load: failed: '%s' was answered by '%s'\n", request, reply);
}

static int open_connection(void) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((in_port_t)options.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct timeval patience = {.tv_sec = REPLY_SECONDS};
    int on = 1;
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0)
        return -1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) < 0) {
        close(connection);
        return -1;
    }
    return connection;
}

// One request and its reply. Returns the reply without its newline, or NULL
// where the connection did not bring one whole line.
static const char *ask(int connection, const char *request, char line[LINE_SIZE]) {
    int length = snprintf(line, LINE_SIZE, "%s\n", request);
    if (send(connection, line, (size_t)length, MSG_NOSIGNAL) != length)
        return NULL;
    size_t filled = 0;
    while (filled < LINE_SIZE) {
        ssize_t got = recv(connection, line + filled, LINE_SIZE - filled, 0);
        if (got <= 0)
            return NULL;
        filled += (size_t)got;
        char *newline = memchr(line, '\n', filled);
        if (newline != NULL) {
            *newline = 0;
            // A reply behind the reply is wrong as well.
            return newline + 1 == line + filled ? line : NULL;
        }
    }
    return NULL;
}

static int is_expected(const char *reply, size_t step) {
    if (step < sizeof rounds / sizeof rounds[0])
        return strcmp(reply, rounds[step].reply) == 0;
    if (fnmatch(options.old, reply, 0) == 0) {
        atomic_fetch_add(&old_replies, 1);
        return 1;
    }
    if (fnmatch(options.new, reply, 0) == 0) {
        atomic_fetch_add(&new_replies, 1);
        return 1;
    }
    return 0;
}

static int is_over(void) {
    if (atomic_load(&stopping))
        return 1;
    unsigned long done = atomic_fetch_add(&requests, 1);
    if (options.requests == 0 || done < options.requests)
        return 0;
    atomic_fetch_sub(&requests, 1);
    return 1;
}

// `first` points to the thread's connection, or to -1.
static void *keep_asking(void *first) {
    size_t steps = sizeof rounds / sizeof rounds[0] + (options.watch != NULL);
    char line[LINE_SIZE];
    int connection = *(int *)first;
    for (size_t step = 0; !is_over(); step = (step + 1) % steps) {
        const char *request = step < sizeof rounds / sizeof rounds[0] ? rounds[step].request
                                                                      : options.watch;
        if (connection < 0 && (connection = open_connection()) < 0) {
            complain(request, strerror(errno));
            usleep(10000);
            continue;
        }
        const char *reply = ask(connection, request, line);
        if (reply == NULL) {
            complain(request, "no whole line");
            close(connection);
            connection = -1;
        } else if (!is_expected(reply, step)) {
            complain(request, reply);
        }
    }
    if (connection >= 0)
        close(connection);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

// All connections, each with one answer, so that the daemon serves them when
// the first line is printed. One that fails is left to its thread.
static void open_all(int connections[]) {
    char line[LINE_SIZE];
    int open = 0;
    for (int i = 0; i < options.connections; i++) {
        connections[i] = open_connection();
        if (connections[i] >= 0 && ask(connections[i], "PING", line) == NULL) {
            close(connections[i]);
            connections[i] = -1;
        }
        open += connections[i] >= 0;
    }
    printf("load: %d of %d connections open\n", open, options.connections);
    fflush(stdout);
}

static void usage(void) {
    fprintf(stderr,
            "usage: load PORT [--connections N] [--requests N] [--until-eof]\n"
            "                 [--watch REQUEST --old PATTERN --new PATTERN]\n");
    exit(64);
}

static void parse(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        if (i == 1) {
            options.port = atoi(option);
        } else if (strcmp(option, "--until-eof") == 0) {
            options.until_eof = 1;
        } else if (++i == argc) {
            usage();
        } else if (strcmp(option, "--connections") == 0) {
            options.connections = atoi(argv[i]);
        } else if (strcmp(option, "--requests") == 0) {
            options.requests = strtoul(argv[i], NULL, 10);
        } else if (strcmp(option, "--watch") == 0) {
            options.watch = argv[i];
        } else if (strcmp(option, "--old") == 0) {
            options.old = argv[i];
        } else if (strcmp(option, "--new") == 0) {
            options.new = argv[i];
        } else {
            usage();
        }
    }
    int patterns = (options.old != NULL) + (options.new != NULL);
    if (options.port < 1 || options.port > 65535 || options.connections < 1
        || options.connections > MAX_CONNECTIONS || patterns != (options.watch ? 2 : 0))
        usage();
}

// Until a signal, the end of standard input, or the last thread's end.
static void wait_for_the_end(int signals) {
    struct pollfd events[] = {
        {.fd = signals, .events = POLLIN},
        {.fd = options.until_eof ? STDIN_FILENO : -1, .events = POLLIN},
    };
    while (atomic_load(&running) > 0) {
        char ignored[256];
        if (poll(events, 2, 20) < 0 || events[0].revents != 0)
            return;
        if (events[1].revents != 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
            return;
    }
}

int main(int argc, char **argv) {
    parse(argc, argv);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    if (signals < 0) {
        perror("load: signalfd");
        return 1;
    }

    int connections[MAX_CONNECTIONS];
    open_all(connections);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    pthread_t threads[MAX_CONNECTIONS];
    atomic_store(&running, options.connections);
    for (int i = 0; i < options.connections; i++) {
        if ((errno = pthread_create(&threads[i], NULL, keep_asking, &connections[i])) != 0) {
            perror("load: pthread_create");
            return 1;
        }
    }
    wait_for_the_end(signals);
    atomic_store(&stopping, 1);
    for (int i = 0; i < options.connections; i++)
        pthread_join(threads[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);

    double seconds = (double)(end.tv_sec - start.tv_sec)
                     + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    printf("{\"requests\": %lu, \"failed\": %lu, \"old\": %lu, \"new\": %lu, "
           "\"connections\": %d, \"seconds\": %.3f}\n",
           atomic_load(&requests), atomic_load(&failed), atomic_load(&old_replies),
           atomic_load(&new_replies), options.connections, seconds);
    return atomic_load(&failed) == 0 ? 0 : 1;
}
