/* What the files of the C core share. */
#ifndef PARSLFLOW_CLIENT_INTERNAL_H
#define PARSLFLOW_CLIENT_INTERNAL_H

#include "parslflow_client.h"

#include <hiredis.h>
#include <stdbool.h>
#include <stddef.h>

/* What a call tries to do and where, and the sentence that says why it failed. */
struct failure {
    char task[256];
    char place[300]; /* " (store <address>)", or empty */
    char message[1024];
};

void failure_begin(struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Writes "Cannot <task><place>: <cause>." and returns error. */
int failure_set(struct failure *failure, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int failure_set_no_memory(struct failure *failure);

struct pf_client {
    redisContext *redis; /* NULL: not connected */
    double time_limit;   /* s */
    char address[256];
    struct failure failure;
};

/* Commands to send in one round trip, each formatted as RESP. */
struct request {
    struct command {
        char *text;
        size_t length;
    } *commands;
    size_t count;
    size_t capacity;
    bool incomplete; /* a command could not be added: no memory */
};

/* format: as redisFormatCommand. */
void request_add(struct request *request, const char *format, ...);
void request_add_words(struct request *request, int count, const char *const words[],
                       const size_t lengths[]);
void request_free(struct request *request);

/* Begins a call: PF_CONNECTION without a connection, else PF_OK. */
int client_begin(struct pf_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Sends the request, frees it, and gives the answer to its last command, which the caller frees. On
 * PF_SERVER the message holds the first error that the server answered. While the server is out of
 * memory it has done nothing, and the request is sent again until the time limit. */
int client_call(struct pf_client *client, struct request *request, redisReply **answer);

/* A Fortran array as the wire has it: row-major bytes. */
struct tensor {
    const char *type; /* FLOAT, DOUBLE or INT32 */
    int rank;
    long long extents[CFI_MAX_RANK];
    size_t size; /* bytes */
};

#define SHAPE_TEXT 400 /* long enough for CFI_MAX_RANK extents */

/* Fills tensor from the array's descriptor, or says in failure why it cannot be a tensor. */
int tensor_describe(struct tensor *tensor, const CFI_cdesc_t *array, struct failure *failure);
/* Whether the array's memory is what the wire wants. */
bool tensor_is_row_major(const CFI_cdesc_t *array);
void tensor_pack(char *bytes, const CFI_cdesc_t *array);
void tensor_unpack(const CFI_cdesc_t *array, const char *bytes);
void tensor_shape_text(char text[SHAPE_TEXT], const struct tensor *tensor);
/* Adds AI.TENSORSET. */
void tensor_add_set(struct request *request, const char *key, const struct tensor *tensor,
                    const char *bytes);

/* PF_BAD_ARGUMENT for an empty name. */
int name_check(const char *name, struct failure *failure);

/* Adds the commands that write the data set. */
void dataset_add_put(const struct pf_dataset *dataset, struct request *request);
/* Adds the append of the data set to the list. */
void dataset_add_append(const struct pf_dataset *dataset, struct request *request,
                        const char *list);
const char *dataset_name(const struct pf_dataset *dataset);

#endif
