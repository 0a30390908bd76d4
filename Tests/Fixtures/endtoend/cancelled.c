// Threads that are cancelled in the middle of a function that a change replaces
// (CHANGE), with something to put right in that function and in its caller. Asked for
// anything it starts one, cancels it, and tells what was put right.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char done[64];
static int ends[2];
static pthread_barrier_t begun;

static void put_right(const char **name)
{
    size_t length = 0;
    while (done[length])
        length++;
    snprintf(done + length, sizeof done - length, " %s", *name);
}

__attribute__((noinline)) long waited(long number)
{
#ifdef CHANGE
    __attribute__((cleanup(put_right))) const char *name = "new";
#else
    __attribute__((cleanup(put_right))) const char *name = "old";
#endif
    char byte;
    pthread_barrier_wait(&begun);
    return number + read(ends[0], &byte, 1);
}

__attribute__((noinline)) long asked(long number)
{
    __attribute__((cleanup(put_right))) const char *name = "caller";
    return waited(number) + 1;
}

static void *work(void *argument)
{
    return (void *)asked((long)argument);
}

int main(void)
{
    char line[64];
    if (pipe(ends) != 0 || pthread_barrier_init(&begun, NULL, 2) != 0)
        return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        pthread_t thread;
        void *result = NULL;
        done[0] = '\0';
        if (pthread_create(&thread, NULL, work, NULL) != 0)
            return 1;
        pthread_barrier_wait(&begun);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        printf("%s%s\n", result == PTHREAD_CANCELED ? "cancelled" : "ended", done);
        fflush(stdout);
    }
    return 0;
}
