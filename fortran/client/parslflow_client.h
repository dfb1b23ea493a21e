/* A simulation's client: tensors, data sets, lists and models in a store that speaks the SmartRedis
 * wire format, on a single server or a Redis Cluster, and models in the simulation's own process.
 *
 * Every function returns a pf_error; pf_client_message and pf_dataset_message say in one sentence
 * what went wrong. Nothing aborts, and nothing prints but the two lines of a wait, below.
 *
 * Arrays come as the C descriptors of ISO_Fortran_binding.h: float, double, int8_t, int16_t,
 * int32_t or int64_t of any rank and stride. On the wire they are row-major with the same indices:
 * Fortran a(i,j) is Python a[i-1,j-1]. Row-major arrays, which C programs have, are sent from where
 * they lie.
 *
 * What is guaranteed. Every call ends within the time limit of pf_connect.
 * - A call that returns PF_OK was done, once.
 * - When the connection is lost, the call connects again and sends again what it cannot know to be
 *   done, until the time limit; a restarted server that loads its data is waited for. All calls may
 *   be sent twice without harm but pf_delete_tensor, which is not sent again: it ends with
 *   PF_CONNECTION, and the next call connects. An append carries this client's own number of it, by
 *   which the server knows, for a minute beyond the time limit, whether it has done it: no list gets
 *   an entry twice, whoever reads it. The server must allow EVAL.
 * - After PF_CONNECTION, PF_TIMEOUT or PF_STORE_FULL an append was done once or not at all, and will
 *   not be done after a later append of this client. A put may still be done after PF_TIMEOUT.
 * - A data set is in the store whole or not at all. On a single server pf_put_dataset_to_list writes
 *   it and appends it in one transaction and one round trip. On a cluster its keys are on one
 *   server, in one transaction; the append, on the server of the list, follows once that is
 *   acknowledged, so that a list never names what is not there.
 * - While the server refuses commands for lack of memory, the call waits and sends again: nothing
 *   is dropped. One line on stderr says so when the wait begins, one when it is over; only the first
 *   rank of a machine speaks, and at most once a minute.
 *
 * A client belongs to one thread at a time. Strings are NUL-terminated.
 */
#ifndef PARSLFLOW_CLIENT_H
#define PARSLFLOW_CLIENT_H

#include <ISO_Fortran_binding.h>
#include <stdint.h>

enum pf_error {
    PF_OK = 0,
    PF_CONNECTION = 1,   /* there is no connection, or it was lost */
    PF_TIMEOUT = 2,      /* no answer within the time limit */
    PF_SERVER = 3,       /* the server refused the command */
    PF_STORE_FULL = 4,   /* the store stayed out of memory for the whole time limit */
    PF_MISSING_KEY = 5,  /* there is no such tensor, model, data set or metadata */
    PF_WRONG_TYPE = 6,   /* the array has another type than what is there, or one of no tensor */
    PF_WRONG_SHAPE = 7,  /* the array has another shape than what is there, or none */
    PF_BAD_ARGUMENT = 8, /* a name, an address or a file is unusable */
    PF_NO_MEMORY = 9,    /* this program is out of memory */
    PF_INFERENCE = 10,   /* a model in this process could not be loaded, or failed */
    PF_DAMAGED = 11      /* metadata or a list are not what the wire format has */
};

struct pf_client;
struct pf_dataset;

/* Connects as the environment says:
 *   SSDB                           unix://path or host:port; of several, divided by commas, the
 *                                  first, or on a cluster the first that answers
 *   SR_DB_TYPE                     Standalone, as by default, or Clustered
 *   SSKEYOUT                       the keyspace that tensors, data sets and lists are put into; by
 *                                  default none
 *   SSKEYIN                        the keyspaces, divided by commas, of which one is read, asked for
 *                                  and deleted from: the first, until pf_set_data_source
 *   PARSLFLOW_STORE_PASSWORD_FILE  the file of the password, if there is one
 *   PARSLFLOW_STORE_USER           the ACL user whose password it is; the default user if not set
 *   PARSLFLOW_STORE_CA_FILE        PEM of the CA of the server's certificate: asks for TLS, which
 *                                  the client has where it was built with hiredis_ssl
 *   PARSLFLOW_INFERENCE            store, as by default, or in-process: where pf_infer runs models;
 *                                  with in-process SSDB may be unset, if only pf_infer is called
 *   PARSLFLOW_MODELS               in-process: the folder of the models, NAME.script.pt
 *   PARSLFLOW_LIBTORCH             in-process: the path of libparslflow_inference.so
 * *client is NULL or a client to connect afresh; it is set even on errors (but PF_NO_MEMORY), to be
 * asked for the message. time_limit: of this call and of every later one, seconds > 0. A server that
 * is not there is not waited for. */
int pf_connect(struct pf_client **client, double time_limit);
void pf_disconnect(struct pf_client *client);
const char *pf_client_message(const struct pf_client *client);

/* Reads from another of the keyspaces in SSKEYIN. */
int pf_set_data_source(struct pf_client *client, const char *source);

int pf_put_tensor(struct pf_client *client, const char *name, const CFI_cdesc_t *array);
/* array: has the tensor's type and shape, and gets its values. */
int pf_get_tensor(struct pf_client *client, const char *name, CFI_cdesc_t *array);
int pf_delete_tensor(struct pf_client *client, const char *name);
int pf_tensor_exists(struct pf_client *client, const char *name, int *found);
/* key: the whole key, in whatever keyspace. */
int pf_key_exists(struct pf_client *client, const char *key, int *found);

/* Puts a model into the store, on a cluster on each of its servers; it is in no keyspace. path: of a
 * TorchScript file; device: CPU, GPU or GPU:n. */
int pf_set_model_from_file(struct pf_client *client, const char *name, const char *path,
                           const char *device);
/* Runs a model of the store on its tensors of these names. */
int pf_run_model(struct pf_client *client, const char *name, int input_count,
                 const char *const inputs[], int output_count, const char *const outputs[]);

/* Runs a model on arrays: in the store, in one round trip that leaves nothing there, or in this
 * process. Both give the same bits on a CPU. The outputs have the model's types and shapes, and get
 * its answers. */
int pf_infer(struct pf_client *client, const char *model, int input_count,
             const CFI_cdesc_t *const inputs[], int output_count, CFI_cdesc_t *const outputs[]);
/* pf_infer for models with one input and one output. */
int pf_infer_array(struct pf_client *client, const char *model, const CFI_cdesc_t *input,
                   CFI_cdesc_t *output);

/* *dataset: NULL or a data set whose contents are dropped. */
int pf_dataset_initialize(struct pf_dataset **dataset, const char *name);
void pf_dataset_free(struct pf_dataset *dataset);
const char *pf_dataset_message(const struct pf_dataset *dataset);
int pf_dataset_add_tensor(struct pf_dataset *dataset, const char *name, const CFI_cdesc_t *array);
/* Adding to a metadata field again appends. */
int pf_dataset_add_int32(struct pf_dataset *dataset, const char *field, int32_t value);
int pf_dataset_add_int64(struct pf_dataset *dataset, const char *field, int64_t value);
int pf_dataset_add_float(struct pf_dataset *dataset, const char *field, float value);
int pf_dataset_add_double(struct pf_dataset *dataset, const char *field, double value);
int pf_dataset_add_string(struct pf_dataset *dataset, const char *field, const char *value);

int pf_put_dataset(struct pf_client *client, const struct pf_dataset *dataset);
int pf_append_to_list(struct pf_client *client, const char *list, const struct pf_dataset *dataset);
/* Both; see above. */
int pf_put_dataset_to_list(struct pf_client *client, const char *list,
                           const struct pf_dataset *dataset);

/* Gets a data set: its metadata in one round trip, all its tensors in a second one. *dataset: NULL or
 * a data set whose contents are replaced; unchanged on errors. */
int pf_get_dataset(struct pf_client *client, struct pf_dataset **dataset, const char *name);
/* How many data sets are on the list: 0 where there is no list. */
int pf_list_length(struct pf_client *client, const char *list, int64_t *length);
/* The names of the data sets on the list, in the order of their appends. *names is one block, which
 * the caller frees with free(); it is NULL on errors. */
int pf_get_list(struct pf_client *client, const char *list, int64_t *count, char ***names);

/* What is in a data set, got or made here. Strings that are handed out live until the data set is
 * added to, filled anew or freed. */
int pf_dataset_tensor_count(struct pf_dataset *dataset, int64_t *count);
/* count: as many as there are; the names come in the order in which they were added. */
int pf_dataset_tensor_names(struct pf_dataset *dataset, int64_t count, const char *names[]);
/* *type: FLOAT, DOUBLE, INT8, INT16, INT32, INT64, UINT8 or UINT16; extents: room for CFI_MAX_RANK. */
int pf_dataset_describe_tensor(struct pf_dataset *dataset, const char *name, const char **type,
                               int *rank, int64_t extents[]);
/* array: as that of pf_get_tensor. */
int pf_dataset_get_tensor(struct pf_dataset *dataset, const char *name, CFI_cdesc_t *array);
int pf_dataset_metadata_count(struct pf_dataset *dataset, const char *field, int64_t *count);
/* values: of the field's type, and count as many as it has. */
int pf_dataset_get_int32(struct pf_dataset *dataset, const char *field, int64_t count,
                         int32_t values[]);
int pf_dataset_get_int64(struct pf_dataset *dataset, const char *field, int64_t count,
                         int64_t values[]);
int pf_dataset_get_float(struct pf_dataset *dataset, const char *field, int64_t count,
                         float values[]);
int pf_dataset_get_double(struct pf_dataset *dataset, const char *field, int64_t count,
                          double values[]);
int pf_dataset_get_strings(struct pf_dataset *dataset, const char *field, int64_t count,
                           const char *values[]);

#endif
