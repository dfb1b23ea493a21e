/* The functions of CMF's interface, and how an execution begins and ends. */
#include "internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Begin and end one at a time. */
static pthread_mutex_t life = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct identity identity;
static unsigned executions; /* so many this process has begun */

static int write_values(const char *event, const struct cmf_value *values, size_t size)
{
    int error = values_check(values, size);
    if (error != CMF_OK)
        return error;
    char *to = event_begin(event, values_most(values, size) + sizeof "\"values\":", &error);
    if (to == NULL)
        return error;
    to = put_values(put_text(to, "\"values\":"), values, size);
    event_end(to);
    return CMF_OK;
}

static int check_series(const char *key)
{
    if (key != NULL && is_file_name(key))
        return CMF_OK;
    return say_once(CMF_BAD_NAME,
                    "the series of metrics '%s' cannot be part of a file name and is not logged: "
                    "use letters, digits, '.', '_' and '-' only",
                    key == NULL ? "" : key);
}

static void in_child(void)
{
    pthread_mutex_init(&life, NULL);
}

/* For a program that did not finalize. */
static void at_exit(int code, void *unused)
{
    (void)unused;
    char problem[80] = "";
    if (code != 0)
        snprintf(problem, sizeof problem, "The program ended with exit code %d.", code);
    pthread_mutex_lock(&life);
    if (journal_is_open())
        event_ended(problem);
    pthread_mutex_unlock(&life);
}

static void prepare(void)
{
    number_prepare();
    pthread_atfork(NULL, NULL, in_child);
    on_exit(at_exit, NULL);
}

static int check_names(const char *mlmd_path, const char *pipeline, const char *context,
                       const char *name)
{
    if (mlmd_path == NULL || pipeline == NULL || context == NULL || *pipeline == '\0' ||
        *context == '\0')
        return say_once(CMF_BAD_NAME, "cmf_init was given no name of a pipeline or context, so "
                                      "nothing is logged");
    if (name == NULL || !is_file_name(name))
        return say_once(CMF_BAD_NAME,
                        "the execution name '%s' cannot be part of a file name, so nothing is "
                        "logged: use letters, digits, '.', '_' and '-' only",
                        name == NULL ? "" : name);
    return CMF_OK;
}

static int begin_execution(const char *mlmd_path, const char *pipeline, const char *context,
                           const char *name)
{
    if (journal_is_open())
        return say_once(CMF_INITIALIZED, "cmf_init was called again before cmf_finalize; the "
                                         "execution '%s' goes on",
                        identity.execution);
    int error = check_names(mlmd_path, pipeline, context, name);
    if (error == CMF_OK)
        error = identity_find(&identity, mlmd_path, pipeline, context, name, executions);
    if (error == CMF_OK)
        error = journal_open(&identity);
    if (error != CMF_OK)
        return error;
    executions++;
    error = event_started(&identity, pipeline, context, name);
    if (error == CMF_OK)
        error = journal_flush();
    /* Without its first line a file says nothing. */
    if (error != CMF_OK)
        journal_discard();
    return error;
}

int cmf_init(const char *mlmd_path, const char *pipeline_name, const char *context_name,
             const char *execution_name)
{
    pthread_once(&once, prepare);
    pthread_mutex_lock(&life);
    int error = begin_execution(mlmd_path, pipeline_name, context_name, execution_name);
    pthread_mutex_unlock(&life);
    return error;
}

int is_cmf_initialized(void)
{
    return journal_is_open();
}

int cmf_finalize(void)
{
    pthread_mutex_lock(&life);
    int error = event_ended("");
    pthread_mutex_unlock(&life);
    return error;
}

int commit_metrics(const char *metrics_name)
{
    int error = check_series(metrics_name);
    return error == CMF_OK ? journal_flush() : error;
}

static char *begin_metric(const char *key, size_t most, int *error)
{
    *error = check_series(key);
    if (*error != CMF_OK)
        return NULL;
    char *to = event_begin("metric", string_most(key) + most + EVENT_MOST, error);
    if (to == NULL)
        return NULL;
    to = put_text(put_text(to, "\"series\":\""), key);
    return put_text(to, "\",\"values\":");
}

int log_metric(const char *key, const char **dict_keys, const char **dict_values, int dict_size)
{
    size_t most = 2;
    for (int i = 0; i < dict_size; i++)
        most += string_most(dict_keys[i]) + string_most(dict_values[i]) + LONGEST_NUMBER + 2;
    int error;
    char *to = begin_metric(key, most, &error);
    if (to == NULL)
        return error;
    *to++ = '{';
    for (int i = 0; i < dict_size; i++) {
        if (i > 0)
            *to++ = ',';
        to = put_string(to, dict_keys[i]);
        *to++ = ':';
        char *end = dict_values[i] == NULL ? NULL : put_number(to, dict_values[i]);
        to = end == NULL ? put_string(to, dict_values[i]) : end;
    }
    *to++ = '}';
    event_end(to);
    return CMF_OK;
}

int cmf_log_metric(const char *key, const struct cmf_value *values, size_t size)
{
    int error = values_check(values, size);
    if (error != CMF_OK)
        return error;
    char *to = begin_metric(key, values_most(values, size), &error);
    if (to == NULL)
        return error;
    event_end(put_values(to, values, size));
    return CMF_OK;
}

int cmf_log_execution_metrics(const struct cmf_value *values, size_t size)
{
    return write_values("result", values, size);
}

int cmf_update_execution(const struct cmf_value *values, size_t size)
{
    return write_values("properties", values, size);
}

