/* Files that an execution reads and writes, with their digest. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 };

/* The digest and size of a file; the errno of a failure. */
static int hash_file(const char *path, char digits[65], int64_t *size)
{
    struct stat status;
    struct sha256 sha;
    sha256_begin(&sha);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return errno;
    char *chunk = malloc(CHUNK);
    int cause = chunk == NULL ? ENOMEM : 0;
    if (cause == 0 && fstat(descriptor, &status) == 0 && !S_ISREG(status.st_mode))
        cause = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    ssize_t count = 1;
    while (cause == 0 && count != 0) {
        count = read(descriptor, chunk, CHUNK);
        if (count > 0)
            sha256_add(&sha, chunk, (size_t)count);
        else if (count < 0 && errno != EINTR)
            cause = errno;
    }
    free(chunk);
    close(descriptor);
    *size = (int64_t)sha.length;
    sha256_end(&sha, digits);
    return cause;
}

static int log_artifact(const char *path, const char *kind, const char *event,
                        const struct cmf_value *properties, size_t size)
{
    const char *name = NULL;
    if (event != NULL && strcmp(event, "input") == 0)
        name = "used";
    else if (event != NULL && strcmp(event, "output") == 0)
        name = "produced";
    if (path == NULL || name == NULL)
        return say_once(CMF_BAD_ARGUMENT,
                        "a %s cannot be logged with the event '%s': give a path, and the event "
                        "\"input\" or \"output\"",
                        kind, event == NULL ? "" : event);
    int error = values_check(properties, size);
    if (error != CMF_OK)
        return error;
    if (!journal_is_open())
        return journal_flush(); /* says so */
    char absolute[LONGEST_PATH], digits[65];
    int64_t bytes = 0;
    int cause = absolute_path(absolute, path) ? hash_file(absolute, digits, &bytes) : ENAMETOOLONG;
    if (cause != 0)
        return say_once(CMF_NO_FILE, "the %s %s is not logged, because it cannot be read (%s)",
                        kind, path, strerror(cause));
    const char *shown = identity_path(event_identity(), absolute);
    char *to = event_begin(name, string_most(shown) + values_most(properties, size) + EVENT_MOST,
                           &error);
    if (to == NULL)
        return error;
    to = put_string(put_text(to, "\"path\":"), shown);
    to = put_string(put_text(to, ",\"kind\":"), kind);
    to = put_integer(put_text(to, ",\"size\":"), bytes);
    to = put_string(put_text(to, ",\"sha256\":"), digits);
    to = put_values(put_text(to, ",\"properties\":"), properties, size);
    event_end(to);
    return CMF_OK;
}

int cmf_log_dataset(const char *path, const char *event, const struct cmf_value *properties,
                    size_t size)
{
    return log_artifact(path, "dataset", event, properties, size);
}

int cmf_log_model(const char *path, const char *event, const struct cmf_value *properties,
                  size_t size)
{
    return log_artifact(path, "model", event, properties, size);
}
