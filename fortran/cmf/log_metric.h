/* Metadata from a simulation, without Python: the functions of CMF's own C interface, and more.
 *
 * What is logged are lines of a journal (parslflow/provenance/schema.py), one file a process, that
 * parslflow's writer logs to CMF. Inside a run, where PARSLFLOW_JOURNAL and PARSLFLOW_EXECUTION are
 * set, the process adds to the execution that started it. Otherwise the processes of an MPI job are one
 * execution, in the folder `journal` beside mlmd_path, or in PARSLFLOW_JOURNAL.
 *
 * No call stops or holds up the program. Lines are buffered, and written by a thread: after a second, 64
 * KiB, commit_metrics and cmf_finalize, and when the program exits. A call waits only when 1 MiB could not be
 * written yet. Each kind of mistake is said once, in a sentence on stderr. What cannot be written is
 * dropped and counted. All functions can be called by any thread, and return a code. A child after fork()
 * has nothing initialized; it may call cmf_init. */
#ifndef LOG_METRIC_LIB_H
#define LOG_METRIC_LIB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum cmf_error {
    CMF_OK = 0,
    CMF_NOT_INITIALIZED = 1,
    CMF_INITIALIZED = 2,  /* already, by an earlier cmf_init */
    CMF_BAD_NAME = 3,     /* not only letters, digits, '.', '_' and '-', as a file's name needs */
    CMF_BAD_ARGUMENT = 4, /* a kind or an event that does not exist */
    CMF_NO_JOURNAL = 5,   /* the file of the events cannot be made */
    CMF_NO_FILE = 6,      /* a data set or model that cannot be read */
    CMF_LOST = 7,         /* events could not be written, and were dropped */
    CMF_NO_MEMORY = 8
};

/* Begin an execution of a pipeline's context (a stage). Returns when its first line is written. */
int cmf_init(const char *mlmd_path, const char *pipeline_name, const char *context_name,
             const char *execution_name);

int is_cmf_initialized(void);

/* Add a row to the series `key`. Text that is a number becomes one, whole or real. */
int log_metric(const char *key, const char **dict_keys, const char **dict_values, int dict_size);

/* Wait until all that this process has logged is written. */
int commit_metrics(const char *metrics_name);

/* End the execution: write what is left. Then cmf_init may begin another. A program that exits without
 * it has completed if its exit code is 0, and else failed. */
int cmf_finalize(void);

/* ---- What CMF's C interface does not have ---- */

enum cmf_kind {
    CMF_INTEGER = 0,
    CMF_REAL = 1,
    CMF_STRING = 2,
    CMF_INTEGERS = 3,   /* arrays: of int64_t */
    CMF_REALS = 4,      /* of double */
    CMF_STRINGS = 5,    /* of const char * */
    CMF_INTEGERS32 = 6, /* of int32_t */
    CMF_REALS32 = 7     /* of float */
};

/* A named value, made by one of the functions below; what it points to must live until the call. */
struct cmf_value {
    const char *key;
    int kind;
    int64_t integer;
    double real;
    const void *address; /* of a string or an array */
    size_t count;        /* elements of an array */
};

/* As log_metric, typed:
 * cmf_log_metric("epoch", (struct cmf_value[]){cmf_integer("epoch", 3), cmf_real("loss", 0.2)}, 2) */
int cmf_log_metric(const char *key, const struct cmf_value *values, size_t size);

/* Give metrics of the execution as a whole, such as its final losses. */
int cmf_log_execution_metrics(const struct cmf_value *values, size_t size);

/* Add to what distinguishes the execution; a later value of a key replaces the former. */
int cmf_update_execution(const struct cmf_value *values, size_t size);

/* Say that the execution reads (`event` is "input") or has written ("output") a file, which is hashed. */
int cmf_log_dataset(const char *path, const char *event, const struct cmf_value *properties,
                    size_t size);
int cmf_log_model(const char *path, const char *event, const struct cmf_value *properties,
                  size_t size);

static inline struct cmf_value cmf_integer(const char *key, int64_t integer)
{
    struct cmf_value value = {key, CMF_INTEGER, integer, 0, NULL, 1};
    return value;
}

static inline struct cmf_value cmf_real(const char *key, double real)
{
    struct cmf_value value = {key, CMF_REAL, 0, real, NULL, 1};
    return value;
}

static inline struct cmf_value cmf_string(const char *key, const char *string)
{
    struct cmf_value value = {key, CMF_STRING, 0, 0, string, 1};
    return value;
}

static inline struct cmf_value cmf_integers(const char *key, const int64_t *integers, size_t count)
{
    struct cmf_value value = {key, CMF_INTEGERS, 0, 0, integers, count};
    return value;
}

static inline struct cmf_value cmf_reals(const char *key, const double *reals, size_t count)
{
    struct cmf_value value = {key, CMF_REALS, 0, 0, reals, count};
    return value;
}

static inline struct cmf_value cmf_strings(const char *key, const char *const *strings,
                                           size_t count)
{
    struct cmf_value value = {key, CMF_STRINGS, 0, 0, strings, count};
    return value;
}

static inline struct cmf_value cmf_integers32(const char *key, const int32_t *integers,
                                              size_t count)
{
    struct cmf_value value = {key, CMF_INTEGERS32, 0, 0, integers, count};
    return value;
}

static inline struct cmf_value cmf_reals32(const char *key, const float *reals, size_t count)
{
    struct cmf_value value = {key, CMF_REALS32, 0, 0, reals, count};
    return value;
}

#ifdef __cplusplus
}
#endif

#endif
