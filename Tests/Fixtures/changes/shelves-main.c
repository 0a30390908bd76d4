// Answers numbers by what shelves.c makes of them: in this thread, or behind a 't' in one
// of its own.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

extern __thread long shared, row[8], level;
extern long counted;
void to_shared(long), to_level(long), to_own(long), to_counted(long);
long *in_row(long), owned(void), twice(long), call(long), pass(long), maybe(long);
int is_counted(const long *), is_twice(long (*)(long));
unsigned long past(unsigned long);

static void report(const char *name, long n)
{
    to_shared(n);
    to_level(n);
    *in_row(0) = n;
    to_own(n);
    to_counted(n);
    printf("%s: %ld %ld %ld %ld, %ld %d %lu %d, %ld %ld %ld\n", name, shared, level, row[7],
        owned(), counted, is_counted(&counted), past((unsigned long)&counted),
        is_twice(twice), call(n), pass(n), maybe(n));
    fflush(stdout);
}

static void *beside(void *line)
{
    report("beside", atol(line));
    return NULL;
}

int main(void)
{
    char line[64];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        pthread_t thread;
        if (line[0] != 't') {
            report("main", atol(line));
        } else if (pthread_create(&thread, NULL, beside, line + 1) == 0) {
            pthread_join(thread, NULL);
        }
    }
    return 0;
}
