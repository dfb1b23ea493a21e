/* Logs as many rows of three values as a line of input says, and prints what a call took: the median and the
 * 99.9th percentile, in seconds. Arguments: the path of the metadata, and whether values are `typed` or
 * `text`. Nothing is initialized before there is a row to log. */
#include "log_metric.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

static int log_typed(int row)
{
    return cmf_log_metric("flow",
                          (struct cmf_value[]){cmf_real("day", row / 96.0),
                                               cmf_real("kinetic_energy", 0.02 / (row + 3)),
                                               cmf_real("cfl", 1.0 / (row + 7))},
                          3);
}

static int log_text(int row)
{
    static const char *keys[] = {"day", "kinetic_energy", "cfl"};
    const char *values[] = {"12.125", row % 2 ? "3.13E-03" : "3.14E-03", "0.0150"};
    return log_metric("flow", keys, values, 3);
}

int main(int count, char **arguments)
{
    int rows;
    if (count != 3)
        return 2;
    int (*log_row)(int) = strcmp(arguments[2], "typed") == 0 ? log_typed : log_text;
    while (scanf("%d", &rows) == 1) {
        if (rows > 0 && !is_cmf_initialized() &&
            cmf_init(arguments[1], "benchmark", "simulation", "log_metric") != CMF_OK)
            return 1;
        double *taken = malloc((size_t)(rows + 1) * sizeof *taken);
        memset(taken, 0, (size_t)(rows + 1) * sizeof *taken);
        for (int row = 0; row < rows; row++) {
            double began = seconds();
            if (log_row(row) != CMF_OK)
                return 1;
            taken[row] = seconds() - began;
        }
        qsort(taken, (size_t)rows, sizeof *taken, compare);
        printf("%.9f %.9f\n", taken[rows / 2], taken[rows > 0 ? rows - 1 - rows / 1000 : 0]);
        fflush(stdout);
        free(taken);
    }
    return is_cmf_initialized() ? cmf_finalize() : 0;
}
