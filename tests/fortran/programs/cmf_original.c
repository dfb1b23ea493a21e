/* Written for CMF's own interface, and nothing else. Arguments: the path of its metadata. */
#include "log_metric.h"

#include <stdio.h>

int main(int count, char **arguments)
{
    if (count != 2)
        return 2;
    cmf_init(arguments[1], "original", "training", "in-c");
    if (!is_cmf_initialized()) {
        printf("CMF did not initialize\n");
        return 1;
    }
    const char *keys[] = {"epoch", "loss", "rates"};
    const char *values[] = {"10", "1e-5", "[10, 2.5]"};
    log_metric("losses", keys, values, 3);
    commit_metrics("losses");
    cmf_finalize();
    return 0;
}
