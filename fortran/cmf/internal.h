/* What the files of the library share. */
#ifndef CMF_INTERNAL_H
#define CMF_INTERNAL_H

#include "log_metric.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LONGEST_PATH 4096
#define LONGEST_EXECUTION 256

/* ---- number.c ---- */
#define LONGEST_NUMBER 32

/* Must be called before put_real, by any thread, any number of times. */
void number_prepare(void);
/* Append to a text that has room for LONGEST_NUMBER more; the end of what was written. */
char *put_real(char *to, double value);
char *put_integer(char *to, int64_t value);
/* Text as a JSON number if it is one, such as " +.5D-3" or "nan"; else NULL, and nothing that counts. It
 * needs room for strlen(text) + LONGEST_NUMBER. */
char *put_number(char *to, const char *text);

/* ---- json.c: each puts at most what its *_most says, and returns the end ---- */
size_t string_most(const char *text);
/* In quotes; what is not UTF-8 becomes U+FFFD. NULL is the empty string. */
char *put_string(char *to, const char *text);
char *put_text(char *to, const char *text); /* as it is, short and known to need no escape */
size_t values_most(const struct cmf_value *values, size_t size);
char *put_values(char *to, const struct cmf_value *values, size_t size);
int values_check(const struct cmf_value *values, size_t size);

/* ---- sha256.c ---- */
struct sha256 {
    uint32_t state[8];
    uint64_t length;
    unsigned char block[64];
};
void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *bytes, size_t length);
void sha256_end(struct sha256 *sha, char digits[65]);

/* ---- identity.c ---- */
struct identity {
    char journal[LONGEST_PATH];   /* folder */
    char execution[LONGEST_EXECUTION]; /* what all parts of an execution share */
    char part[64];
    long rank; /* -1: unknown */
};
int identity_find(struct identity *identity, const char *mlmd_path, const char *pipeline,
                  const char *context, const char *name, unsigned executions);
/* A path as events give it: relative inside the run directory, which holds the journal, so that a run can be
 * moved and still be read. */
const char *identity_path(const struct identity *identity, const char *absolute);
/* The scheduler's job, such as "slurm 1234.0", or nothing. */
void identity_job(char *to, size_t size);
/* As Python's os.path.abspath: symbolic links stay. False: it is too long. */
bool absolute_path(char to[LONGEST_PATH], const char *path);
bool is_file_name(const char *name);

/* ---- journal.c: the file of this process, its buffer and its thread ---- */
/* Makes the file <execution>@<part>.jsonl, with another part where that exists. */
int journal_open(const struct identity *identity);
/* Locks the journal, with room for a line of so many bytes. NULL: not locked, and `*error` says why. */
char *journal_begin(size_t most, int *error);
/* Takes the line that ends there, and unlocks. */
void journal_end(char *end);
/* Waits until everything is written; CMF_LOST if something was lost since the last time. */
int journal_flush(void);
/* Takes a last line as journal_end does, writes everything, and ends. */
int journal_close(char *end);
/* Ends without a trace. */
void journal_discard(void);
bool journal_is_open(void);

/* ---- event.c ---- */
#define EVENT_MOST 256 /* of an event's own fields, besides strings */

int event_started(const struct identity *identity, const char *pipeline, const char *context,
                  const char *name);
/* Ends the execution and the journal; a problem that is not empty says that it failed. */
int event_ended(const char *problem);
/* Begins an event whose own fields take so many bytes: they follow, and event_end. NULL: `*error`. */
char *event_begin(const char *event, size_t most, int *error);
void event_end(char *to);
/* Whose events they are; of the last execution. */
const struct identity *event_identity(void);

/* ---- said.c ---- */
/* Says a sentence on stderr, the first time that this error occurs; returns the error. */
int say_once(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
