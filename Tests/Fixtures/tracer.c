// Traces a process as a debugger would, until its input ends.
//   tracer PID
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>

int main(int count, char **arguments) {
    if (count != 2 || ptrace(PTRACE_SEIZE, atoi(arguments[1]), 0, 0)) return 1;
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
