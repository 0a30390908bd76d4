// Ends with what early-library.c reports: linked with it, or where a path is given,
// loaded by dlopen.
#include <dlfcn.h>
#include <stdio.h>

#ifdef LINKED
int report(void);
#endif

int main(int count, char **arguments) {
#ifdef LINKED
    (void)count, (void)arguments;
    return report();
#else
    if (count < 2) return 64;
    void *library = dlopen(arguments[1], RTLD_NOW);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 65;
    }
    int (*report)(void) = (int (*)(void))dlsym(library, "report");
    return report();
#endif
}
