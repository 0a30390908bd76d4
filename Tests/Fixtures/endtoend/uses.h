// What the victim of UsesTests and its library have in common.
#include <stddef.h>

enum { ANSWER_SIZE = 256 };

// A variable of the library that the program reads, so that the linker gives
// the program a copy of it (R_X86_64_COPY), which the library uses too.
extern int fleet_size;
int library_fleet_size(void);

// Answered by the library; a fix of the library replaces it.
void library_answer(char *answer);
