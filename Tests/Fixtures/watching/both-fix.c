// Calls the C library, which is not mapped yet when the program starts.
#include <unistd.h>

int mine(void) { return getpid() > 0 ? 2 : 3; }
