/* Does what its second argument says, with the metadata of the first. */
#include "log_metric.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROWS = 2000, LONGEST = 1 << 20 };

static void begin(const char *mlmd)
{
    if (cmf_init(mlmd, "calls", "test", "calls") != CMF_OK)
        exit(1);
}

static int log_row(int thread, int row)
{
    const struct cmf_value values[] = {cmf_integer("thread", thread), cmf_integer("row", row),
                                       cmf_real("third", row / 3.0)};
    return cmf_log_metric("rows", values, 3);
}

/* A number of rows for each line of input: committed, or only buffered if it is negative. */
static void rows(void)
{
    int count, row = 0;
    while (scanf("%d", &count) == 1) {
        for (int i = 0; i < abs(count); i++)
            log_row(0, row++);
        printf("%d\n", count > 0 ? commit_metrics("rows") : CMF_OK);
        fflush(stdout);
    }
    printf("%d\n", cmf_finalize());
}

static void reals(void)
{
    static double values[LONGEST];
    size_t count = fread(values, sizeof *values, LONGEST, stdin);
    cmf_log_metric("reals", (struct cmf_value[]){cmf_reals("reals", values, count)}, 1);
    cmf_finalize();
}

/* Strings that end with a zero, as they are and as CMF's log_metric takes them. */
static void strings(void)
{
    static char text[LONGEST];
    size_t length = fread(text, 1, LONGEST - 1, stdin);
    for (size_t at = 0; at < length; at += strlen(text + at) + 1) {
        const char *string = text + at, *key = "text";
        cmf_log_metric("strings", (struct cmf_value[]){cmf_string(string, string)}, 1);
        log_metric("texts", &key, &string, 1);
    }
    cmf_finalize();
}

static void *log_rows(void *thread)
{
    for (int row = 0; row < ROWS; row++)
        log_row((int)(size_t)thread, row);
    return NULL;
}

static void threads(void)
{
    pthread_t started[THREADS];
    for (size_t thread = 0; thread < THREADS; thread++)
        pthread_create(&started[thread], NULL, log_rows, (void *)thread);
    for (size_t thread = 0; thread < THREADS; thread++)
        pthread_join(started[thread], NULL);
    cmf_finalize();
}

/* Two children after rows that are not written: one that does nothing, one that logs for itself. */
static void forks(const char *mlmd)
{
    for (int row = 0; row < 10; row++)
        log_row(0, row);
    if (fork() == 0) {
        if (is_cmf_initialized() || log_row(1, 0) != CMF_NOT_INITIALIZED)
            _exit(9);
        exit(0);
    }
    if (fork() == 0) {
        begin(mlmd);
        log_row(2, 0);
        exit(0);
    }
    for (int child = 0; child < 2; child++) {
        int status;
        wait(&status);
        printf("%d\n", status);
    }
    log_row(0, 10);
    cmf_finalize();
}

/* Each with its code; said twice, to see that it is said once. */
static void mistakes(const char *mlmd)
{
    const struct cmf_value odd = {"odd", 99, 0, 0, NULL, 1};
    const char *key = "key", *value = "value";
    for (int time = 0; time < 2; time++) {
        printf("%d\n", cmf_init(mlmd, "p", "c", "not/a name"));
        printf("%d\n", cmf_init("/proc/nowhere/mlmd", "p", "c", "name"));
        printf("%d\n", log_metric("series", &key, &value, 1));
        begin(mlmd);
        printf("%d\n", cmf_init(mlmd, "p", "c", "name"));
        printf("%d\n", cmf_log_metric("series", &odd, 1));
        printf("%d\n", cmf_log_dataset("/nowhere", "input", NULL, 0));
        printf("%d\n", cmf_log_dataset(mlmd, "sideways", NULL, 0));
        printf("%d\n", log_metric("a/series", &key, &value, 1));
        cmf_finalize();
    }
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 2;
    const char *mlmd = arguments[1], *what = arguments[2];
    if (strcmp(what, "mistakes") == 0) {
        mistakes(mlmd);
        return 0;
    }
    begin(mlmd);
    if (strcmp(what, "rows") == 0)
        rows();
    else if (strcmp(what, "reals") == 0)
        reals();
    else if (strcmp(what, "strings") == 0)
        strings();
    else if (strcmp(what, "threads") == 0)
        threads();
    else if (strcmp(what, "forks") == 0)
        forks(mlmd);
    else if (strcmp(what, "exit") == 0)
        return log_row(0, 0) + atoi(arguments[3]);
    else if (strcmp(what, "inputs") == 0)
        for (int i = 3; i < count; i++)
            cmf_log_dataset(arguments[i], "input", NULL, 0);
    else
        return 2;
    return 0;
}
