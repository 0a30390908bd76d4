// Leaves the error number of a system call to its caller.
#include <fcntl.h>

int open_config(const char *path) {
    return open(path, O_RDONLY);
}
