/* What the files of the C core share. */
#ifndef PARSLFLOW_CLIENT_INTERNAL_H
#define PARSLFLOW_CLIENT_INTERNAL_H

#include "inference.h"
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

/* A server: the only one, or one of a cluster. */
struct node {
    char host[256]; /* or the path of a socket, when port is 0 */
    int port;
    redisContext *redis; /* NULL: not connected */
};

#define LONGEST_KEYSPACE 200 /* characters of a name */

/* What a key begins with, which may be nothing: a keyspace's name and a full stop, or what puts it
 * on one chosen server of a cluster, and is not a string: it may hold zeros. */
struct prefix {
    char bytes[LONGEST_KEYSPACE + 2];
    size_t length;
};

struct pf_client {
    struct node *nodes; /* the only server, or those of the cluster */
    int node_count;     /* 0: there is no store */
    bool clustered;
    short *node_of_slot; /* of a cluster only; -1: none serves it */
    double time_limit;   /* s */
    double deadline;     /* of the call under way */
    char address[1024];  /* as in SSDB */
    char id[17];         /* hexadecimal, no other client's */
    long long appends;   /* so many this client has begun */
    double told;         /* when it last said that it waits */
    char *sources;       /* as in SSKEYIN */
    struct prefix source;          /* the keyspace that is read, asked for and deleted from */
    struct prefix target;          /* the keyspace that is put into */
    struct redisSSLContext *tls;   /* NULL: none */
    struct in_process *in_process; /* NULL: the store runs models */
    struct failure failure;
};

/* Commands to send in one round trip, as RESP. */
struct request {
    char *text; /* all but what is long */
    size_t text_length;
    size_t text_capacity;
    struct piece {
        const char *bytes; /* of the caller, who keeps them; NULL: in text */
        size_t offset;
        size_t length;
    } *pieces;
    size_t piece_count;
    size_t piece_capacity;
    int count; /* commands */
    redisReply **replies;
    bool incomplete; /* a command could not be added: no memory */
    bool once;       /* doing it twice is not the same as doing it once */
};

/* Begins a command of so many words. */
void request_begin(struct request *request, int words);
/* Long bytes are not copied: they must live until request_free. */
void request_bytes(struct request *request, const void *bytes, size_t length);
void request_text(struct request *request, const char *text);
void request_number(struct request *request, long long number);
/* One word made of strings, NULL at the end. */
void request_join(struct request *request, ...) __attribute__((sentinel));
/* A word that begins with the prefix. */
void request_key(struct request *request, const struct prefix *prefix, const char *name);
/* A whole command of strings, NULL at the end. */
void request_add(struct request *request, ...) __attribute__((sentinel));
/* The answer to the command at index from the front, or to the last for -1. */
const redisReply *request_reply(const struct request *request, int index);
void request_free_replies(struct request *request);
void request_free(struct request *request);

double now(void); /* s */

/* Results of an exchange besides those of pf_error. */
enum {
    NOT_READY = -1, /* the server did nothing: it still loads its data, or the cluster is in motion */
    MOVED = -2      /* the server did nothing: another has the key */
};

/* Connects to the node, with TLS, password and user as the environment says. */
int connection_open(struct pf_client *client, struct node *node);
void connection_close(struct node *node);
/* One round trip before the client's deadline. PF_SERVER: the message holds the first error. After
 * PF_CONNECTION and PF_TIMEOUT the connection is closed. */
int connection_exchange(struct pf_client *client, struct node *node, struct request *request);

/* Begins a call that needs the store: PF_CONNECTION without one, else PF_OK. */
int client_begin(struct pf_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The slot of a key; 0 on a single server. */
int client_slot(const struct pf_client *client, const struct prefix *keyspace, const char *key);
/* Sends the request to the node of the slot until it is done, or refused, or the time is up. On
 * PF_OK it has its replies. */
int client_call(struct pf_client *client, struct request *request, int slot);
/* The same at the node, for keys that were made for it. */
int client_call_node(struct pf_client *client, struct request *request, int node);
/* client_call that frees the request, for calls where only success matters. */
int client_do(struct pf_client *client, struct request *request, int slot);
/* EXISTS: *found is 0 or 1. */
int client_find(struct pf_client *client, const struct prefix *keyspace, const char *key,
                int *found);
/* What PF_SERVER means when the key may be missing: PF_MISSING_KEY if it is. Otherwise the server's
 * own words stay in the message. */
int client_explain(struct pf_client *client, const struct prefix *keyspace, const char *key);
/* The same for a key that was made for the node. */
int client_explain_node(struct pf_client *client, const struct prefix *prefix, const char *key,
                        int node);

/* Reads SSKEYIN and SSKEYOUT. */
int keyspaces_begin(struct pf_client *client);

/* Asks the cluster which node has which slots. */
int cluster_discover(struct pf_client *client);
unsigned cluster_slot(const struct prefix *keyspace, const char *key);
/* What keys that lie on the node begin with, as stock SmartRedis clients have it for models. */
struct prefix cluster_prefix(const struct pf_client *client, int node);
/* The same for keys in the slot of this key. */
struct prefix cluster_prefix_of_key(const struct pf_client *client, const struct prefix *keyspace,
                                    const char *key);

/* Fills tensor from the array's descriptor, or says in failure why it cannot be a tensor. */
int tensor_describe(struct tensor *tensor, const CFI_cdesc_t *array, struct failure *failure);
/* Describes the array and sets the bytes: the array's own if it is row-major, else a copy in *copy,
 * which the caller frees. */
int tensor_pack(struct tensor *tensor, char **copy, const CFI_cdesc_t *array,
                struct failure *failure);
/* Copies the found tensor into the array, which must be as wanted; `what` begins the sentence that
 * says how they differ. */
int tensor_unpack(CFI_cdesc_t *array, const struct tensor *wanted, const struct tensor *found,
                  const char *what, struct failure *failure);
void tensor_add_set(struct request *request, const struct prefix *prefix, const char *key,
                    const struct tensor *tensor);
void tensor_add_get(struct request *request, const struct prefix *prefix, const char *key);
/* Reads the answer to tensor_add_get; the bytes are those of the reply. */
int tensor_from_reply(struct tensor *tensor, const redisReply *reply, struct failure *failure);

/* PF_BAD_ARGUMENT for an empty name. */
int name_check(const char *name, struct failure *failure);

/* Adds the transaction that writes the data set, and also its append when there is a list. */
void dataset_add_put(const struct pf_dataset *dataset, struct request *request,
                     struct pf_client *client, const char *list);
void dataset_add_append(const struct pf_dataset *dataset, struct request *request,
                        struct pf_client *client, const char *list);
const char *dataset_name(const struct pf_dataset *dataset);

/* Models in this process. *in_process: NULL when the environment says "store". */
int in_process_begin(struct in_process **in_process, struct failure *failure);
int in_process_infer(struct in_process *in_process, const char *model, int input_count,
                     const struct tensor inputs[], int output_count, struct tensor outputs[],
                     struct failure *failure);
void in_process_end(struct in_process *in_process);

#endif
