/* The calls on the store. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest piece in which stock clients send a model; larger ones they split. */
#define LARGEST_MODEL 535822336L

/* Sends the request where only success matters. */
static int call(struct pf_client *client, struct request *request)
{
    redisReply *answer = NULL;
    int error = client_call(client, request, &answer);
    freeReplyObject(answer);
    return error;
}

/* Sends the request whose last command answers with a number. */
static int call_for_count(struct pf_client *client, struct request *request, long long *count)
{
    redisReply *answer = NULL;
    int error = client_call(client, request, &answer);
    if (error == PF_OK && answer->type != REDIS_REPLY_INTEGER)
        error = failure_set(&client->failure, PF_SERVER, "the server did not answer with a number");
    *count = error == PF_OK ? answer->integer : 0;
    freeReplyObject(answer);
    return error;
}

static int key_count(struct pf_client *client, const char *key, long long *count)
{
    struct request request = {0};
    request_add(&request, "EXISTS %s", key);
    return call_for_count(client, &request, count);
}

/* What PF_SERVER means when the key may be missing: PF_MISSING_KEY if it is. Otherwise the server's
 * own words stay in the message. */
static int explain(struct pf_client *client, const char *key)
{
    struct failure refusal = client->failure;
    long long count = 1;
    int error = key_count(client, key, &count);
    if (error == PF_OK && count == 0)
        return failure_set(&client->failure, PF_MISSING_KEY, "there is no key '%s'", key);
    if (error == PF_OK || error == PF_SERVER) {
        client->failure = refusal;
        error = PF_SERVER;
    }
    return error;
}

int pf_put_tensor(struct pf_client *client, const char *name, const CFI_cdesc_t *array)
{
    struct tensor tensor;
    int error = client_begin(client, "put tensor '%s'", name);
    if (error == PF_OK)
        error = name_check(name, &client->failure);
    if (error == PF_OK)
        error = tensor_describe(&tensor, array, &client->failure);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    if (tensor_is_row_major(array)) {
        tensor_add_set(&request, name, &tensor, array->base_addr);
    } else {
        char *bytes = malloc(tensor.size);
        if (bytes == NULL)
            return failure_set_no_memory(&client->failure);
        tensor_pack(bytes, array);
        tensor_add_set(&request, name, &tensor, bytes);
        free(bytes);
    }
    return call(client, &request);
}

/* Checks the answer to AI.TENSORGET key META BLOB against the array's type and shape, and gives the
 * bytes. The answer is: "dtype", type, "shape", [extents], "blob", bytes. */
static int find_bytes(struct pf_client *client, const redisReply *answer,
                      const struct tensor *wanted, const char **bytes)
{
    if (answer->type != REDIS_REPLY_ARRAY || answer->elements != 6 ||
        answer->element[3]->type != REDIS_REPLY_ARRAY ||
        answer->element[3]->elements > CFI_MAX_RANK || answer->element[1]->str == NULL ||
        answer->element[5]->str == NULL)
        return failure_set(&client->failure, PF_SERVER, "the server's answer is not a tensor");
    const redisReply *type = answer->element[1];
    const redisReply *extents = answer->element[3];
    const redisReply *blob = answer->element[5];
    if (strcmp(type->str, wanted->type) != 0)
        return failure_set(&client->failure, PF_WRONG_TYPE,
                           "it is of type %s, but the array of type %s", type->str, wanted->type);
    struct tensor found = {.rank = (int)extents->elements};
    bool same = found.rank == wanted->rank;
    for (int d = 0; d < found.rank; ++d) {
        found.extents[d] = extents->element[d]->integer;
        same = same && found.extents[d] == wanted->extents[d];
    }
    if (!same) {
        char found_text[SHAPE_TEXT];
        char wanted_text[SHAPE_TEXT];
        tensor_shape_text(found_text, &found);
        tensor_shape_text(wanted_text, wanted);
        return failure_set(&client->failure, PF_WRONG_SHAPE,
                           "its shape is (%s), but the array's is (%s)", found_text, wanted_text);
    }
    if (blob->len != wanted->size)
        return failure_set(&client->failure, PF_SERVER,
                           "the server sent %zu bytes of %zu", blob->len, wanted->size);
    *bytes = blob->str;
    return PF_OK;
}

int pf_get_tensor(struct pf_client *client, const char *name, CFI_cdesc_t *array)
{
    struct tensor wanted;
    int error = client_begin(client, "get tensor '%s'", name);
    if (error == PF_OK)
        error = name_check(name, &client->failure);
    if (error == PF_OK)
        error = tensor_describe(&wanted, array, &client->failure);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    redisReply *answer = NULL;
    const char *bytes = NULL;
    request_add(&request, "AI.TENSORGET %s META BLOB", name);
    error = client_call(client, &request, &answer);
    if (error == PF_SERVER)
        return explain(client, name);
    if (error == PF_OK)
        error = find_bytes(client, answer, &wanted, &bytes);
    if (error == PF_OK)
        tensor_unpack(array, bytes);
    freeReplyObject(answer);
    return error;
}

int pf_delete_tensor(struct pf_client *client, const char *name)
{
    int error = client_begin(client, "delete tensor '%s'", name);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    long long count = 0;
    request_add(&request, "DEL %s", name);
    error = call_for_count(client, &request, &count);
    if (error == PF_OK && count == 0)
        return failure_set(&client->failure, PF_MISSING_KEY, "there is no key '%s'", name);
    return error;
}

int pf_key_exists(struct pf_client *client, const char *name, int *found)
{
    *found = 0;
    int error = client_begin(client, "look for key '%s'", name);
    if (error != PF_OK)
        return error;
    long long count = 0;
    error = key_count(client, name, &count);
    *found = count > 0;
    return error;
}

/* Reads the whole file into *bytes, which the caller frees. */
static int read_file(struct pf_client *client, const char *path, char **bytes, size_t *size)
{
    *bytes = NULL;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return failure_set(&client->failure, PF_BAD_ARGUMENT, "the file %s cannot be opened", path);
    int error = PF_OK;
    long length = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (length < 0 || length > LARGEST_MODEL || fseek(file, 0, SEEK_SET) != 0) {
        error = failure_set(&client->failure, PF_BAD_ARGUMENT,
                            "the file %s is unreadable or larger than 511 MiB", path);
    } else if ((*bytes = malloc((size_t)length + 1)) == NULL) {
        error = failure_set_no_memory(&client->failure);
    } else if (fread(*bytes, 1, (size_t)length, file) != (size_t)length) {
        error = failure_set(&client->failure, PF_BAD_ARGUMENT, "the file %s cannot be read", path);
    }
    fclose(file);
    *size = error == PF_OK ? (size_t)length : 0;
    return error;
}

int pf_set_model_from_file(struct pf_client *client, const char *name, const char *path,
                           const char *device)
{
    char *bytes = NULL;
    size_t size = 0;
    int error = client_begin(client, "set model '%s'", name);
    if (error == PF_OK)
        error = name_check(name, &client->failure);
    if (error == PF_OK)
        error = read_file(client, path, &bytes, &size);
    if (error == PF_OK) {
        struct request request = {0};
        request_add(&request, "AI.MODELSTORE %s TORCH %s BLOB %b", name, device, bytes, size);
        error = call(client, &request);
    }
    free(bytes);
    return error;
}

/* Appends a keyword, a count and that many names to the words of a command. */
static int append_names(const char **words, int at, const char *keyword, const char *count_text,
                        int count, const char *const names[])
{
    words[at++] = keyword;
    words[at++] = count_text;
    for (int i = 0; i < count; ++i)
        words[at++] = names[i];
    return at;
}

/* Names the model or the input that is missing, if one is. */
static int explain_run(struct pf_client *client, const char *name, int input_count,
                       const char *const inputs[])
{
    int error = explain(client, name);
    for (int i = 0; i < input_count && error == PF_SERVER; ++i)
        error = explain(client, inputs[i]);
    return error;
}

int pf_run_model(struct pf_client *client, const char *name, int input_count,
                 const char *const inputs[], int output_count, const char *const outputs[])
{
    int error = client_begin(client, "run model '%s'", name);
    if (error == PF_OK)
        error = name_check(name, &client->failure);
    if (error != PF_OK)
        return error;
    char time_limit[32]; /* ms */
    char input_text[16];
    char output_text[16];
    snprintf(time_limit, sizeof time_limit, "%lld", (long long)(1e3 * client->time_limit) + 1);
    snprintf(input_text, sizeof input_text, "%d", input_count);
    snprintf(output_text, sizeof output_text, "%d", output_count);
    const char **words = malloc((8 + (size_t)input_count + (size_t)output_count) * sizeof *words);
    if (words == NULL)
        return failure_set_no_memory(&client->failure);
    words[0] = "AI.MODELEXECUTE";
    words[1] = name;
    int count = append_names(words, 2, "INPUTS", input_text, input_count, inputs);
    count = append_names(words, count, "OUTPUTS", output_text, output_count, outputs);
    words[count++] = "TIMEOUT";
    words[count++] = time_limit;
    struct request request = {0};
    request_add_words(&request, count, words, NULL);
    free(words);
    error = call(client, &request);
    return error == PF_SERVER ? explain_run(client, name, input_count, inputs) : error;
}

static int begin_dataset(struct pf_client *client, const struct pf_dataset *dataset,
                         const char *list)
{
    const char *name = dataset_name(dataset);
    int error = list == NULL
                    ? client_begin(client, "put data set '%s'", name)
                    : client_begin(client, "put data set '%s' on list '%s'", name, list);
    if (error == PF_OK && name[0] == '\0')
        return failure_set(&client->failure, PF_BAD_ARGUMENT, "the data set has no name");
    if (error == PF_OK && list != NULL)
        return name_check(list, &client->failure);
    return error;
}

int pf_put_dataset(struct pf_client *client, const struct pf_dataset *dataset)
{
    int error = begin_dataset(client, dataset, NULL);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    dataset_add_put(dataset, &request);
    return call(client, &request);
}

int pf_append_to_list(struct pf_client *client, const char *list, const struct pf_dataset *dataset)
{
    int error = begin_dataset(client, dataset, list);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    dataset_add_append(dataset, &request, list);
    return call(client, &request);
}

int pf_put_dataset_to_list(struct pf_client *client, const char *list,
                           const struct pf_dataset *dataset)
{
    int error = begin_dataset(client, dataset, list);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    request_add(&request, "MULTI");
    dataset_add_put(dataset, &request);
    dataset_add_append(dataset, &request, list);
    request_add(&request, "EXEC");
    return call(client, &request);
}
