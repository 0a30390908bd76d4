// Takes any number of arguments, general and vector registers and stack.
#include "../uses.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void tell(char *answer, const char *format, ...) {
    strcpy(answer, "new: ");
    va_list list;
    va_start(list, format);
    vsnprintf(answer + 5, ANSWER_SIZE - 5, format, list);
    va_end(list);
}
