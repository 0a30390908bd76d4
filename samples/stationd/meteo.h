// libmeteo: the arithmetic of stationd, a shared library of its own.
#ifndef METEO_H
#define METEO_H

double meteo_fahrenheit(double celsius);

// The mean of a list such as "10,20,30". Returns 0 where the text is no such
// list, and 1 with the mean in *mean otherwise.
int meteo_average(const char *list, double *mean);

#endif
