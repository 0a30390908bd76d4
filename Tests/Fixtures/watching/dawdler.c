// Opens a file, does not map it, and makes system calls that each take their time.
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

int main(int count, char **arguments) {
    if (count < 2 || open(arguments[1], O_RDONLY) < 0) return 1;
    for (int round = 0; round < 6; round++) {
        struct timespec time = {.tv_nsec = 400000000};
        if (nanosleep(&time, NULL) != 0) return 2;
    }
    puts("done");
    return 0;
}
