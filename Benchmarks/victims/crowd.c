// crowd N: N processes of one program, each of which says in its own byte of the
// file at descriptor 3 what answer() gives, once a second. All end with the first.
#include <stdlib.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

volatile int limit = 100;

__attribute__((noipa)) char answer(int number) {
    if (number > limit) return '?';
    return 'o';
}

int main(int count, char **arguments) {
    int processes = count > 1 ? atoi(arguments[1]) : 1;
    if (ftruncate(3, processes) != 0) return 1;
    char *said = mmap(NULL, (size_t)processes, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
    if (said == MAP_FAILED) return 1;
    int own = 0;
    for (int number = 1; number < processes && own == 0; number++) {
        if (fork() != 0) continue;
        own = number;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    for (;;) {
        said[own] = answer(own % 100);
        sleep(1);
    }
}
