/* A simulation's store client: tensors, data sets, lists and models in the SmartRedis wire format.
 *
 * Every function returns a pf_error; pf_client_message and pf_dataset_message say in one sentence
 * what went wrong. Nothing prints and nothing aborts. After PF_CONNECTION or PF_TIMEOUT the
 * connection is closed, because a late answer could be taken for that of the next command: connect
 * again.
 *
 * Arrays come as the C descriptors of ISO_Fortran_binding.h: float, double or int32_t of any rank
 * and stride. On the wire they are row-major with the same indices: Fortran a(i,j) is Python
 * a[i-1,j-1].
 *
 * While the server refuses commands for lack of memory, a call waits and sends them again, until
 * the time limit has passed. What it refused it has not done, and an append is always the last
 * thing of a call, so none is doubled. A call whose answer was lost is never sent again.
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
    PF_MISSING_KEY = 5,  /* there is no such tensor or model */
    PF_WRONG_TYPE = 6,   /* the array has not the tensor's type, or one that no tensor has */
    PF_WRONG_SHAPE = 7,  /* the array has another shape than the tensor, or none */
    PF_BAD_ARGUMENT = 8, /* a name, an address or a file is unusable */
    PF_NO_MEMORY = 9     /* this program is out of memory */
};

struct pf_client;
struct pf_dataset;

/* Connects to the store at the environment's SSDB (unix://path or host:port; of a list the first),
 * with the password in the file that PARSLFLOW_STORE_PASSWORD_FILE names, if it is set. *client is
 * NULL or a client to connect afresh; it is set even on errors (but PF_NO_MEMORY), to be asked for
 * the message. time_limit: of this call and of every later one, seconds > 0. */
int pf_connect(struct pf_client **client, double time_limit);
void pf_disconnect(struct pf_client *client);
const char *pf_client_message(const struct pf_client *client);

int pf_put_tensor(struct pf_client *client, const char *name, const CFI_cdesc_t *array);
/* array: has the tensor's type and shape, and gets its values. */
int pf_get_tensor(struct pf_client *client, const char *name, CFI_cdesc_t *array);
int pf_delete_tensor(struct pf_client *client, const char *name);
int pf_key_exists(struct pf_client *client, const char *name, int *found);

/* path: of a TorchScript file; device: CPU, GPU or GPU:n. */
int pf_set_model_from_file(struct pf_client *client, const char *name, const char *path,
                           const char *device);
int pf_run_model(struct pf_client *client, const char *name, int input_count,
                 const char *const inputs[], int output_count, const char *const outputs[]);

/* *dataset: NULL or a data set whose contents are dropped. */
int pf_dataset_initialize(struct pf_dataset **dataset, const char *name);
void pf_dataset_free(struct pf_dataset *dataset);
const char *pf_dataset_message(const struct pf_dataset *dataset);
int pf_dataset_add_tensor(struct pf_dataset *dataset, const char *name, const CFI_cdesc_t *array);
/* Adding to a metadata field again appends. */
int pf_dataset_add_int32(struct pf_dataset *dataset, const char *field, int32_t value);
int pf_dataset_add_double(struct pf_dataset *dataset, const char *field, double value);
int pf_dataset_add_string(struct pf_dataset *dataset, const char *field, const char *value);

int pf_put_dataset(struct pf_client *client, const struct pf_dataset *dataset);
int pf_append_to_list(struct pf_client *client, const char *list, const struct pf_dataset *dataset);
/* Both in one transaction and one round trip. */
int pf_put_dataset_to_list(struct pf_client *client, const char *list,
                           const struct pf_dataset *dataset);

#endif
