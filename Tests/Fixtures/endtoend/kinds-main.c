// Prints, for each amount in its input, what quote() makes of it. The function
// is linked with the program, or looked up in the library that is named.
#ifdef PLUGIN
#include <dlfcn.h>
#endif
#include <stdio.h>
#include <stdlib.h>

#include "kinds.h"

int main(int count, char **arguments) {
    int (*function)(int);
#ifdef PLUGIN
    void *library = count > 1 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    function = library ? (int (*)(int))dlsym(library, "quote") : NULL;
    if (!function) return 1;
#else
    (void)count, (void)arguments;
    function = quote;
#endif
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        printf("%d\n", function(atoi(line)));
        fflush(stdout);
    }
    return 0;
}
