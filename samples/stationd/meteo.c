#include "meteo.h"

#include <stdlib.h>

// BUG (fixes/fahrenheit.c): the offset is added before the scale is applied.
double meteo_fahrenheit(double celsius) {
    return (celsius + 32) * 9 / 5;
}

// BUG (fixes/average-last.c): only a number with a comma behind it is counted,
// so the last one never is.
int meteo_average(const char *list, double *mean) {
    double sum = 0;
    int count = 0;
    for (;;) {
        char *end;
        double value = strtod(list, &end);
        if (end == list)
            return 0;
        if (*end != ',')
            break;
        sum += value;
        count += 1;
        list = end + 1;
    }
    if (count == 0)
        return 0;
    *mean = sum / count;
    return 1;
}
