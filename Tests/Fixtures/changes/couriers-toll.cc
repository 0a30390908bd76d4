// A source that the program has since change 11.
#include "couriers.h"

#if CHANGE == 11
#include <cctype>

static int tolls;

int toll(int weight)
{
    char text[16];
    int length = 0;
    for (; weight > 0; weight /= 10) text[length++] = static_cast<char>('0' + weight % 10);
    while (length > 0 && std::isdigit(text[length - 1])) length--;
    return 30 + length + ++tolls;
}
#endif
