// Scale first, then add the offset. For the library: --base build/libmeteo.so
#include "../meteo.h"

double meteo_fahrenheit(double celsius) {
    return celsius * 9 / 5 + 32;
}
