// Answers each line of its input with the same line behind its process id.
#include <stdio.h>
#include <unistd.h>

int main(void) {
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        printf("%d %s", getpid(), line);
        fflush(stdout);
    }
    return 7;
}
