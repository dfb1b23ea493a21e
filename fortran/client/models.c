/* The calls on models, in the store or in this process. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest piece in which stock clients send a model; larger ones they split. */
#define LARGEST_MODEL 535822336L

static const struct prefix none = {0};

/* Reads the whole file into *bytes, which the caller frees. */
static int read_file(struct pf_client *client, const char *path, char **bytes, size_t *size)
{
    FILE *file = fopen(path, "rb");
    long length = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        length = ftell(file);
    int error = PF_OK;
    if (length < 1)
        error = failure_set(&client->failure, PF_BAD_ARGUMENT,
                            "the file %s cannot be read or is empty", path);
    else if (length > LARGEST_MODEL)
        error = failure_set(&client->failure, PF_BAD_ARGUMENT,
                            "the file %s is larger than %ld bytes", path, LARGEST_MODEL);
    *bytes = error == PF_OK ? malloc((size_t)length) : NULL;
    if (error == PF_OK && *bytes == NULL)
        error = failure_set_no_memory(&client->failure);
    if (error == PF_OK) {
        rewind(file);
        *size = fread(*bytes, 1, (size_t)length, file);
        if (*size != (size_t)length)
            error = failure_set(&client->failure, PF_BAD_ARGUMENT, "the file %s cannot be read",
                                path);
    }
    if (file != NULL)
        fclose(file);
    return error;
}

int pf_set_model_from_file(struct pf_client *client, const char *name, const char *path,
                           const char *device)
{
    char *bytes = NULL;
    size_t size = 0;
    int error = client_begin(client, "store model '%s'", name);
    if (error == PF_OK)
        error = name_check(name, &client->failure);
    if (error == PF_OK)
        error = read_file(client, path, &bytes, &size);
    /* Every server of a cluster gets it, so that each can run it. */
    for (int node = 0; error == PF_OK && node < client->node_count; ++node) {
        struct prefix prefix = cluster_prefix(client, node);
        if (client->clustered && prefix.length == 0)
            continue; /* it has no slots */
        struct request request = {0};
        request_begin(&request, 6);
        request_text(&request, "AI.MODELSTORE");
        request_key(&request, &prefix, name);
        request_text(&request, "TORCH");
        request_text(&request, device);
        request_text(&request, "BLOB");
        request_bytes(&request, bytes, size);
        error = client_call_node(client, &request, node);
        request_free(&request);
    }
    free(bytes);
    return error;
}

/* Tensors of a model. */
struct tensors {
    const struct prefix *prefix; /* of their keys */
    int count;
    const char *const *names;
};

static void add_keys(struct request *request, const char *word, struct tensors tensors)
{
    request_text(request, word);
    request_number(request, tensors.count);
    for (int i = 0; i < tensors.count; ++i)
        request_key(request, tensors.prefix, tensors.names[i]);
}

static void add_execute(struct pf_client *client, struct request *request,
                        const struct prefix *prefix, const char *model, struct tensors inputs,
                        struct tensors outputs)
{
    request_begin(request, 8 + inputs.count + outputs.count);
    request_text(request, "AI.MODELEXECUTE");
    request_key(request, prefix, model);
    add_keys(request, "INPUTS", inputs);
    add_keys(request, "OUTPUTS", outputs);
    request_text(request, "TIMEOUT");
    request_number(request, (long long)(1e3 * client->time_limit) + 1);
}

/* A server that has slots, chosen by the client's id so that the ranks spread over all. */
static int model_node(const struct pf_client *client)
{
    if (!client->clustered)
        return 0;
    unsigned slot = cluster_slot(&none, client->id);
    for (unsigned i = 0; i < 16384; ++i)
        if (client->node_of_slot[(slot + i) % 16384] >= 0)
            return client->node_of_slot[(slot + i) % 16384];
    return 0;
}

#define NAME_SIZE 64

/* Names of tensors that no other client uses. */
static char (*own_names(const struct pf_client *client, int count, const char **names))[NAME_SIZE]
{
    char(*texts)[NAME_SIZE] = malloc((size_t)count * sizeof *texts);
    for (int i = 0; texts != NULL && i < count; ++i) {
        snprintf(texts[i], NAME_SIZE, "parslflow.%s.tensor%d", client->id, i);
        names[i] = texts[i];
    }
    return texts;
}

/* Puts the inputs, runs the model, gets the outputs and deletes all of them, in one round trip. The
 * outputs' bytes are those of the request's replies. Inputs that a client cannot delete, because it
 * was killed, expire. */
static int infer_in_store(struct pf_client *client, struct request *request, const char *model,
                          int input_count, const struct tensor inputs[], int output_count,
                          struct tensor outputs[])
{
    int node = model_node(client);
    struct prefix prefix = cluster_prefix(client, node);
    int count = input_count + output_count;
    const char **names = malloc((size_t)count * sizeof *names);
    char(*texts)[NAME_SIZE] = names == NULL ? NULL : own_names(client, count, names);
    if (texts == NULL) {
        free(names);
        return failure_set_no_memory(&client->failure);
    }
    for (int i = 0; i < input_count; ++i) {
        tensor_add_set(request, &prefix, names[i], &inputs[i]);
        request_begin(request, 3);
        request_text(request, "PEXPIRE");
        request_key(request, &prefix, names[i]);
        request_number(request, (long long)(1e3 * client->time_limit) + 1);
    }
    add_execute(client, request, &prefix, model, (struct tensors){&prefix, input_count, names},
                (struct tensors){&prefix, output_count, names + input_count});
    for (int i = 0; i < output_count; ++i)
        tensor_add_get(request, &prefix, names[input_count + i]);
    request_begin(request, 1 + count);
    request_text(request, "DEL");
    for (int i = 0; i < count; ++i)
        request_key(request, &prefix, names[i]);
    free(texts);
    free(names);
    int error = client_call_node(client, request, node);
    if (error == PF_SERVER)
        error = client_explain_node(client, &prefix, model, node);
    for (int i = 0; i < output_count && error == PF_OK; ++i)
        error = tensor_from_reply(&outputs[i], request_reply(request, 2 * input_count + 1 + i),
                                  &client->failure);
    return error;
}

/* Names the model or the input that is missing, if one is. */
static int explain_run(struct pf_client *client, const char *name, int input_count,
                       const char *const inputs[])
{
    int error = client_explain(client, &none, name);
    for (int i = 0; i < input_count && error == PF_SERVER; ++i)
        error = client_explain(client, &client->source, inputs[i]);
    return error;
}

/* Gets the tensor from where it lies; its bytes are those of the request's reply. */
static int fetch(struct pf_client *client, struct request *request, const char *name,
                 struct tensor *tensor)
{
    tensor_add_get(request, &client->source, name);
    int error = client_call(client, request, client_slot(client, &client->source, name));
    if (error == PF_SERVER)
        return client_explain(client, &client->source, name);
    return error != PF_OK
               ? error
               : tensor_from_reply(tensor, request_reply(request, -1), &client->failure);
}

/* Inputs and outputs may lie on any server of the cluster: they pass through this client. */
static int run_in_cluster(struct pf_client *client, const char *model, int input_count,
                          const char *const inputs[], int output_count,
                          const char *const outputs[])
{
    size_t count = (size_t)(input_count + output_count);
    struct tensor *tensors = calloc(count, sizeof *tensors);
    struct request *requests = calloc((size_t)input_count + 1, sizeof *requests);
    struct request *run = &requests[input_count];
    int error = PF_OK;
    if (tensors == NULL || requests == NULL)
        error = failure_set_no_memory(&client->failure);
    for (int i = 0; i < input_count && error == PF_OK; ++i)
        error = fetch(client, &requests[i], inputs[i], &tensors[i]);
    if (error == PF_OK)
        error = infer_in_store(client, run, model, input_count, tensors, output_count,
                               tensors + input_count);
    for (int i = 0; i < output_count && error == PF_OK; ++i) {
        struct request request = {0};
        tensor_add_set(&request, &client->target, outputs[i], &tensors[input_count + i]);
        error = client_do(client, &request, client_slot(client, &client->target, outputs[i]));
    }
    for (int i = 0; requests != NULL && i <= input_count; ++i)
        request_free(&requests[i]);
    free(requests);
    free(tensors);
    return error;
}

/* At least one of each. */
static int check_counts(struct failure *failure, int input_count, int output_count)
{
    if (input_count > 0 && output_count > 0)
        return PF_OK;
    return failure_set(failure, PF_BAD_ARGUMENT, "it needs an input and an output at least");
}

int pf_run_model(struct pf_client *client, const char *name, int input_count,
                 const char *const inputs[], int output_count, const char *const outputs[])
{
    int error = client_begin(client, "run model '%s'", name);
    if (error == PF_OK)
        error = name_check(name, &client->failure);
    if (error == PF_OK)
        error = check_counts(&client->failure, input_count, output_count);
    if (error != PF_OK)
        return error;
    if (client->clustered)
        return run_in_cluster(client, name, input_count, inputs, output_count, outputs);
    struct request request = {0};
    add_execute(client, &request, &none, name,
                (struct tensors){&client->source, input_count, inputs},
                (struct tensors){&client->target, output_count, outputs});
    error = client_do(client, &request, client_slot(client, &none, name));
    return error == PF_SERVER ? explain_run(client, name, input_count, inputs) : error;
}

static int begin_infer(struct pf_client *client, const char *model)
{
    if (client == NULL || client->in_process == NULL)
        return client_begin(client, "infer with model '%s'", model);
    failure_begin(&client->failure, "infer with model '%s'", model);
    return PF_OK;
}

/* Copies what the model gave into the arrays. */
static int give(int count, const struct tensor found[], CFI_cdesc_t *const arrays[],
                struct failure *failure)
{
    int error = PF_OK;
    for (int i = 0; i < count && error == PF_OK; ++i) {
        struct tensor wanted;
        char what[32];
        snprintf(what, sizeof what, "output %d", i + 1);
        error = tensor_describe(&wanted, arrays[i], failure);
        if (error == PF_OK)
            error = tensor_unpack(arrays[i], &wanted, &found[i], what, failure);
    }
    return error;
}

int pf_infer(struct pf_client *client, const char *model, int input_count,
             const CFI_cdesc_t *const inputs[], int output_count, CFI_cdesc_t *const outputs[])
{
    int error = begin_infer(client, model);
    if (error == PF_OK)
        error = name_check(model, &client->failure);
    if (error == PF_OK)
        error = check_counts(&client->failure, input_count, output_count);
    if (error != PF_OK)
        return error;
    struct failure *failure = &client->failure;
    struct request request = {0};
    struct tensor *tensors = calloc((size_t)(input_count + output_count), sizeof *tensors);
    struct tensor *answers = tensors + input_count;
    char **copies = calloc((size_t)input_count, sizeof *copies);
    if (tensors == NULL || copies == NULL)
        error = failure_set_no_memory(failure);
    for (int i = 0; i < input_count && error == PF_OK; ++i)
        error = tensor_pack(&tensors[i], &copies[i], inputs[i], failure);
    /* An array that can hold no tensor is found before the model has run. */
    for (int i = 0; i < output_count && error == PF_OK; ++i)
        error = tensor_describe(&answers[i], outputs[i], failure);
    if (error == PF_OK && client->in_process != NULL)
        error = in_process_infer(client->in_process, model, input_count, tensors, output_count,
                                 answers, failure);
    else if (error == PF_OK)
        error = infer_in_store(client, &request, model, input_count, tensors, output_count,
                               answers);
    if (error == PF_OK)
        error = give(output_count, answers, outputs, failure);
    request_free(&request);
    for (int i = 0; copies != NULL && i < input_count; ++i)
        free(copies[i]);
    free(copies);
    free(tensors);
    return error;
}

int pf_infer_array(struct pf_client *client, const char *model, const CFI_cdesc_t *input,
                   CFI_cdesc_t *output)
{
    return pf_infer(client, model, 1, &input, 1, &output);
}
