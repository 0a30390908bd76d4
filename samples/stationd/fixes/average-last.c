// Count the last number too. For the library: --base build/libmeteo.so
#include "../meteo.h"

#include <stdlib.h>

int meteo_average(const char *list, double *mean) {
    double sum = 0;
    int count = 0;
    for (;;) {
        char *end;
        double value = strtod(list, &end);
        if (end == list)
            return 0;
        sum += value;
        count += 1;
        if (*end != ',')
            break;
        list = end + 1;
    }
    *mean = sum / count;
    return 1;
}
