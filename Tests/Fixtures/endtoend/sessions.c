// Sessions that live as long as the program, and threads that use them all the time.
// What a change makes of it:
//
//   CHANGE 1   another initial value of a variable that exists
//   CHANGE 2   a structure that grows
//   CHANGE 3   the same as an author writes it for programs that run: what is new stands
//              beside the structure, and a callback sees to the sessions that exist
//
// 'l' tells the limit, 's' sets it, 't' whether a session has something more, 'r' how often that
// differed from the session, 'm' waits until every thread has gone on.
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sessions.h"
#if CHANGE == 3
#include <hotpatch.h>
#endif

enum { SESSIONS = 64, THREADS = 4 };

#if CHANGE == 1
static int limit = 50;
#else
static int limit = 5;
#endif

static struct session sessions[SESSIONS];
static long rounds[THREADS];
// Not static: what nobody writes to the compiler takes for a constant.
long differences;

__attribute__((noinline)) static void tell_limit(void)
{
#if CHANGE == 1
    printf("the limit is %d\n", limit);
#else
    printf("limit %d\n", limit);
#endif
}

#if CHANGE == 3
static void fill(void *object, void *data)
{
    *(long *)data = ((struct session *)object)->uses;
}

static void count_all(void)
{
    for (int number = 0; number < SESSIONS; number++) {
        long *checks = hotpatch_shadow_get_or_attach(&sessions[number], CHECKS, sizeof(long), fill);
        if (checks)
            *checks = sessions[number].uses;
    }
}
HOTPATCH_ON_APPLY(count_all);
#endif

__attribute__((noinline)) static void use(struct session *session)
{
    pthread_mutex_lock(&session->lock);
    session->uses++;
#if CHANGE == 2
    session->checks++;
#elif CHANGE == 3
    long *checks = hotpatch_shadow_get(session, CHECKS);
    if (checks)
        ++*checks;
    if (!checks || *checks != session->uses)
        __atomic_fetch_add(&differences, 1, __ATOMIC_RELAXED);
#endif
    pthread_mutex_unlock(&session->lock);
}

__attribute__((noinline)) long more(struct session *session)
{
    (void)session;
    return -1;
}

static void *work(void *argument)
{
    long number = (long)argument;
    for (unsigned round = (unsigned)number;; round++) {
        use(&sessions[round % SESSIONS]);
        __atomic_fetch_add(&rounds[number], 1, __ATOMIC_RELAXED);
        if (round % 8 == 0)
            usleep(100);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    char line[64];
    for (int number = 0; number < SESSIONS; number++)
        pthread_mutex_init(&sessions[number].lock, NULL);
    for (long number = 0; number < THREADS; number++)
        pthread_create(&thread, NULL, work, (void *)number);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == 'l') {
            tell_limit();
        } else if (line[0] == 's') {
            limit = atoi(line + 1);
            puts("set");
        } else if (line[0] == 't') {
            pthread_mutex_lock(&sessions[5].lock);
            long found = more(&sessions[5]);
            puts(found < 0 ? "nothing" : found == sessions[5].uses ? "the same" : "different");
            pthread_mutex_unlock(&sessions[5].lock);
        } else if (line[0] == 'm') {
            long before[THREADS];
            for (int number = 0; number < THREADS; number++)
                before[number] = __atomic_load_n(&rounds[number], __ATOMIC_RELAXED);
            for (int number = 0; number < THREADS; number++)
                while (__atomic_load_n(&rounds[number], __ATOMIC_RELAXED) < before[number] + 100)
                    sched_yield();
            puts("gone on");
        } else {
            printf("%ld\n", differences);
        }
        fflush(stdout);
    }
    _exit(0);
}
