/* The calls on tensors, and those that put data sets and lists. */
#include "dataset.h"

#include <stdlib.h>

int pf_put_tensor(struct pf_client *client, const char *name, const CFI_cdesc_t *array)
{
    struct tensor tensor;
    char *copied = NULL;
    int error = client_begin(client, "put tensor '%s'", name);
    if (error == PF_OK)
        error = name_check(name, &client->failure);
    if (error == PF_OK)
        error = tensor_pack(&tensor, &copied, array, &client->failure);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    tensor_add_set(&request, &client->target, name, &tensor);
    error = client_do(client, &request, client_slot(client, &client->target, name));
    free(copied);
    return error;
}

int pf_get_tensor(struct pf_client *client, const char *name, CFI_cdesc_t *array)
{
    struct tensor wanted;
    struct tensor found;
    int error = client_begin(client, "get tensor '%s'", name);
    if (error == PF_OK)
        error = name_check(name, &client->failure);
    if (error == PF_OK)
        error = tensor_describe(&wanted, array, &client->failure);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    tensor_add_get(&request, &client->source, name);
    error = client_call(client, &request, client_slot(client, &client->source, name));
    if (error == PF_SERVER)
        error = client_explain(client, &client->source, name);
    else if (error == PF_OK)
        error = tensor_from_reply(&found, request_reply(&request, -1), &client->failure);
    if (error == PF_OK)
        error = tensor_unpack(array, &wanted, &found, "it", &client->failure);
    request_free(&request);
    return error;
}

int pf_delete_tensor(struct pf_client *client, const char *name)
{
    int error = client_begin(client, "delete tensor '%s'", name);
    if (error != PF_OK)
        return error;
    /* A second time it could delete what another has put since. */
    struct request request = {.once = true};
    request_begin(&request, 2);
    request_text(&request, "DEL");
    request_key(&request, &client->source, name);
    error = client_call(client, &request, client_slot(client, &client->source, name));
    if (error == PF_OK && request_reply(&request, -1)->integer == 0)
        error = failure_set(&client->failure, PF_MISSING_KEY, "there is no key '%s%s'",
                            client->source.bytes, name);
    request_free(&request);
    return error;
}

int pf_tensor_exists(struct pf_client *client, const char *name, int *found)
{
    *found = 0;
    int error = client_begin(client, "look for tensor '%s'", name);
    return error != PF_OK ? error : client_find(client, &client->source, name, found);
}

int pf_key_exists(struct pf_client *client, const char *key, int *found)
{
    *found = 0;
    int error = client_begin(client, "look for key '%s'", key);
    return error != PF_OK ? error : client_find(client, &(struct prefix){0}, key, found);
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

/* The transaction, at the node that has the data set's keys. */
static int put(struct pf_client *client, const struct pf_dataset *dataset, const char *list)
{
    struct request request = {0};
    char *key = dataset_key(dataset, "meta");
    if (key == NULL)
        return failure_set_no_memory(&client->failure);
    dataset_add_put(dataset, &request, client, list);
    int error = client_do(client, &request, client_slot(client, &client->target, key));
    free(key);
    return error;
}

static int append(struct pf_client *client, const struct pf_dataset *dataset, const char *list)
{
    struct request request = {0};
    dataset_add_append(dataset, &request, client, list);
    return client_do(client, &request, client_slot(client, &client->target, list));
}

int pf_put_dataset(struct pf_client *client, const struct pf_dataset *dataset)
{
    int error = begin_dataset(client, dataset, NULL);
    return error != PF_OK ? error : put(client, dataset, NULL);
}

int pf_append_to_list(struct pf_client *client, const char *list, const struct pf_dataset *dataset)
{
    int error = begin_dataset(client, dataset, list);
    return error != PF_OK ? error : append(client, dataset, list);
}

int pf_put_dataset_to_list(struct pf_client *client, const char *list,
                           const struct pf_dataset *dataset)
{
    int error = begin_dataset(client, dataset, list);
    if (error != PF_OK)
        return error;
    if (!client->clustered)
        return put(client, dataset, list);
    error = put(client, dataset, NULL);
    return error != PF_OK ? error : append(client, dataset, list);
}
