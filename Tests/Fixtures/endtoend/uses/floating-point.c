// Takes arguments in vector registers and returns one; computes with a library.
#include <math.h>

double mix(double a, float b, int c, double d) {
    return a * 1000 + (double)b * 100 + fmod(c, 2.0) * 10 + d / 1000;
}
