// tracer PID: traces that process until the input ends.
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>

int main(int count, char **arguments) {
    if (count != 2 || ptrace(PTRACE_SEIZE, atoi(arguments[1]), NULL, NULL) != 0) return 1;
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
