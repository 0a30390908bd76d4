// Has one of everything that a fix may use: static functions and variables,
// thread-local ones, a copied variable, an IFUNC, a hook. Commands, one a line:
//   ask       prints what answer() says
//   library   prints what library_answer() says
//   hook      prints what the hook says
//   threads   prints what answer() says in each of three new threads
//   threads-library   the same of library_answer()
//   mix, sum, tell    print what these functions return
//   open      prints what open_config() returns and the errno it leaves
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uses.h"

typedef void answerer(char *answer);

static int secret = 41;
static __thread int mark = 10;
__thread int exported_mark = 20;
static answerer *hook;

static __attribute__((noinline)) int add_secret(int number) {
    return number + secret;
}

static int twice(int number) {
    return 2 * number;
}
static int (*resolve_scale(void))(int) {
    return twice;
}
int scale(int number) __attribute__((ifunc("resolve_scale")));

__attribute__((noipa)) void answer(char *answer) {
    snprintf(answer, ANSWER_SIZE, "old %d", scale(add_secret(mark + exported_mark)));
}

__attribute__((noipa)) double mix(double a, float b, int c, double d) {
    return a + (double)b + c + d;
}

__attribute__((noipa)) long sum(
    int a, long b, char c, short d, int e, int f, long g, int h, double i, char j) {
    return a + b + c + d + e + f + g + h + (long)i + j;
}

__attribute__((noipa, format(printf, 2, 3))) void tell(char *answer, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(answer, ANSWER_SIZE, format, list);
    va_end(list);
}

__attribute__((noipa)) int open_config(const char *path) {
    errno = 0;
    return (int)strlen(path);
}

static void ask_old_hook(char *answer) {
    snprintf(answer, ANSWER_SIZE, "old hook");
}

struct question {
    answerer *function;
    char answer[ANSWER_SIZE];
};

static void *ask_in_thread(void *argument) {
    struct question *question = argument;
    exported_mark += mark;
    question->function(question->answer);
    return NULL;
}

static void ask_threads(answerer *function, char *answer) {
    struct question questions[3] = {{function, ""}, {function, ""}, {function, ""}};
    pthread_t threads[3];
    answer[0] = 0;
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&threads[i], NULL, ask_in_thread, &questions[i]) != 0) abort();
        pthread_join(threads[i], NULL);
        size_t length = strlen(answer);
        snprintf(answer + length, ANSWER_SIZE - length, "%s%.60s", i ? "; " : "",
                 questions[i].answer);
    }
}

static void serve(const char *command, char *reply) {
    if (strcmp(command, "ask") == 0)
        answer(reply);
    else if (strcmp(command, "library") == 0)
        library_answer(reply);
    else if (strcmp(command, "hook") == 0)
        hook(reply);
    else if (strcmp(command, "threads") == 0)
        ask_threads(answer, reply);
    else if (strcmp(command, "threads-library") == 0)
        ask_threads(library_answer, reply);
    else if (strcmp(command, "mix") == 0)
        snprintf(reply, ANSWER_SIZE, "%.3f", mix(0.5, 0.25f, 3, 1e3));
    else if (strcmp(command, "sum") == 0)
        snprintf(reply, ANSWER_SIZE, "%ld", sum(1, 20, 3, 4, 5, 6, 700, 8, 9000.5, 'A'));
    else if (strcmp(command, "tell") == 0)
        tell(reply, "%d %s %.1f %ld %d %d %d", 1, "two", 3.5, 4L, 5, 6, 7);
    else if (strcmp(command, "open") == 0) {
        int result = open_config("/no/such/file");
        snprintf(reply, ANSWER_SIZE, "%d %s", result, strerrorname_np(errno));
    } else
        snprintf(reply, ANSWER_SIZE, "what is '%s'?", command);
}

int main(int count, char **arguments) {
    (void)arguments;
    secret += count - 1; // so that these are no constants
    mark += count - 1;
    hook = ask_old_hook;
    if (!environ[0]) return 1; // so that the program has its copy of environ
    printf("ready %d\n", fleet_size + library_fleet_size());
    fflush(stdout);
    char line[64], reply[ANSWER_SIZE];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        serve(line, reply);
        printf("%s\n", reply);
        fflush(stdout);
    }
    return 0;
}
