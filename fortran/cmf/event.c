/* Events of the schema: the head that all have, and the first and the last of an execution. */
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SCHEMA = 2, MOST_COMMAND = 64 << 10 };

/* Of the execution; what is not constant while it runs is guarded by the journal's lock. */
static struct {
    const struct identity *identity;
    long long sequence;
    double began, cpu_before;
    time_t second; /* of which `calendar` is the text */
    char calendar[24];
} now;

const struct identity *event_identity(void)
{
    return now.identity;
}

static double seconds_of(const struct timeval *time)
{
    return (double)time->tv_sec + 1e-6 * (double)time->tv_usec;
}

static double cpu_seconds(void)
{
    double seconds = 0;
    const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (int i = 0; i < 2; i++) {
        struct rusage usage;
        if (getrusage(whose[i], &usage) == 0)
            seconds += seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
    }
    return seconds;
}

static double wall_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Not getrusage's, which begins with the memory of whoever started this program. */
static int64_t peak_memory_bytes(void)
{
    char line[256];
    long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %lld", &kib) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return 1024 * kib;
}

static char *put_two(char *to, int number)
{
    *to++ = (char)('0' + number / 10);
    *to++ = (char)('0' + number % 10);
    return to;
}

/* Such as 2026-05-04T03:02:01.000123+00:00. */
static char *put_time(char *to)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    if (time.tv_sec != now.second || now.calendar[0] == '\0') {
        struct tm parts;
        gmtime_r(&time.tv_sec, &parts);
        char *end = put_integer(now.calendar, 1900 + parts.tm_year);
        const int rest[] = {parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                            parts.tm_sec};
        for (int i = 0; i < 5; i++) {
            *end++ = "--T::"[i];
            end = put_two(end, rest[i]);
        }
        *end = '\0';
        now.second = time.tv_sec;
    }
    to = put_text(to, now.calendar);
    *to++ = '.';
    int micro = (int)(time.tv_nsec / 1000);
    to = put_two(to, micro / 10000);
    to = put_two(to, micro / 100 % 100);
    to = put_two(to, micro % 100);
    return put_text(to, "+00:00");
}

char *event_begin(const char *event, size_t most, int *error)
{
    char *to = journal_begin(EVENT_MOST + LONGEST_EXECUTION + most, error);
    if (to == NULL)
        return NULL;
    to = put_text(to, "{\"schema\":");
    to = put_integer(to, SCHEMA);
    to = put_text(put_text(put_text(to, ",\"event\":\""), event), "\",\"execution\":\"");
    to = put_text(put_text(to, now.identity->execution), "\",\"sequence\":");
    to = put_integer(to, now.sequence++);
    to = put_time(put_text(to, ",\"time\":\""));
    *to++ = '"';
    if (now.identity->rank >= 0)
        to = put_integer(put_text(to, ",\"rank\":"), now.identity->rank);
    *to++ = ',';
    return to;
}

static char *put_line_end(char *to)
{
    *to++ = '}';
    *to++ = '\n';
    return to;
}

void event_end(char *to)
{
    journal_end(put_line_end(to));
}

/* As the kernel has it: words that end with a zero. The caller frees it; NULL: unknown. */
static char *read_command(size_t *length)
{
    char *words = malloc(MOST_COMMAND + 1);
    int descriptor = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t count = -1;
    if (words != NULL && descriptor >= 0)
        count = read(descriptor, words, MOST_COMMAND);
    if (descriptor >= 0)
        close(descriptor);
    if (count < 0) {
        free(words);
        return NULL;
    }
    words[count] = '\0';
    *length = (size_t)count;
    return words;
}

int event_started(const struct identity *identity, const char *pipeline, const char *context,
                  const char *name)
{
    now.identity = identity;
    now.sequence = 0;
    now.began = wall_seconds();
    now.cpu_before = cpu_seconds();
    char host[256] = "", job[256];
    size_t length = 0;
    gethostname(host, sizeof host - 1);
    identity_job(job, sizeof job);
    char *command = read_command(&length);
    int error;
    char *to = event_begin("started",
                           string_most(pipeline) + string_most(context) + string_most(name) +
                               string_most(host) + string_most(job) + 9 * length + EVENT_MOST,
                           &error);
    if (to == NULL) {
        free(command);
        return error;
    }
    to = put_string(put_text(to, "\"pipeline\":"), pipeline);
    to = put_string(put_text(to, ",\"context\":"), context);
    to = put_string(put_text(to, ",\"name\":"), name);
    to = put_string(put_text(to, ",\"properties\":{},\"host\":"), host);
    to = put_integer(put_text(to, ",\"pid\":"), getpid());
    to = put_string(put_text(to, ",\"job\":"), job);
    to = put_text(to, ",\"command\":[");
    for (size_t at = 0; at < length; at += strlen(command + at) + 1) {
        if (at > 0)
            *to++ = ',';
        to = put_string(to, command + at);
    }
    *to++ = ']';
    event_end(to);
    free(command);
    return CMF_OK;
}

int event_ended(const char *problem)
{
    double wall = wall_seconds() - now.began, cpu = cpu_seconds() - now.cpu_before;
    int64_t memory = peak_memory_bytes();
    int error;
    char *to = event_begin("ended", string_most(problem) + EVENT_MOST, &error);
    if (to == NULL)
        return error;
    to = put_text(to, "\"status\":");
    to = put_string(to, *problem == '\0' ? "completed" : "failed");
    to = put_string(put_text(to, ",\"error\":"), problem);
    to = put_real(put_text(to, ",\"wall_seconds\":"), wall);
    to = put_real(put_text(to, ",\"cpu_seconds\":"), cpu);
    to = put_integer(put_text(to, ",\"peak_memory_bytes\":"), memory);
    return journal_close(put_line_end(to));
}

