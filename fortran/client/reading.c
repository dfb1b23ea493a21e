/* The calls that get data sets and lists. */
#include "dataset.h"

#include <stdlib.h>
#include <string.h>

static const struct prefix none = {0};

/* Takes a field over, unless it is one that no caller can ask for. */
static int take_field(struct pf_dataset *dataset, const redisReply *name, const redisReply *value,
                      struct failure *failure)
{
    if (name->str == NULL || value->str == NULL)
        return failure_set(failure, PF_SERVER, "the server's answer is not metadata");
    if (strcmp(name->str, COMPLETE) == 0 || strlen(name->str) != name->len)
        return PF_OK;
    struct member *field = member_add(&dataset->fields, name->str);
    if (field == NULL)
        return failure_set_no_memory(failure);
    field->bytes = malloc(value->len > 0 ? value->len : 1); /* of no bytes it may be NULL */
    if (field->bytes == NULL)
        return failure_set_no_memory(failure);
    memcpy(field->bytes, value->str, value->len);
    field->size = value->len;
    return PF_OK;
}

static int get_metadata(struct pf_client *client, struct pf_dataset *dataset, const char *key)
{
    struct request request = {0};
    request_add(&request, "HGETALL", key, NULL);
    int error = client_call(client, &request, key, client_node(client, key));
    const redisReply *answer = error == PF_OK ? request_reply(&request, -1) : NULL;
    if (answer != NULL && (answer->type != REDIS_REPLY_ARRAY || answer->elements % 2 != 0))
        error = failure_set(&client->failure, PF_SERVER, "the server's answer is not metadata");
    else if (answer != NULL && answer->elements == 0)
        error = failure_set(&client->failure, PF_MISSING_KEY, "there is no such data set");
    for (size_t i = 0; error == PF_OK && i < answer->elements; i += 2)
        error = take_field(dataset, answer->element[i], answer->element[i + 1], &client->failure);
    request_free(&request);
    return error;
}

/* Adds the tensors that the metadata name, without their values, and asks for these. */
static int add_tensors(struct pf_dataset *dataset, struct request *request,
                       struct failure *failure)
{
    struct member *names = member_find(dataset->fields, TENSOR_NAMES);
    const char *name = NULL;
    enum field_type type = STRING;
    int64_t count = 0;
    int error = names == NULL ? PF_OK : field_count(names, &type, &count, failure);
    if (error == PF_OK && type != STRING)
        error = failure_set(failure, PF_DAMAGED, "the names of its tensors are not strings");
    if (error == PF_OK && count > 0)
        error = field_strings(names, &name, &count, failure);
    for (; error == PF_OK && count > 0; --count) {
        struct member *tensor = member_add(&dataset->tensors, name);
        if (tensor != NULL)
            tensor->key = dataset_key(dataset, name);
        if (tensor == NULL || tensor->key == NULL)
            return failure_set_no_memory(failure);
        tensor_add_get(request, &none, tensor->key);
        name += strlen(name) + 1;
    }
    return error;
}

/* Gives the tensors, of which the latest is first, the answers to the request. */
static int take_tensors(struct pf_dataset *dataset, struct request *request,
                        struct failure *failure)
{
    int error = PF_OK;
    int index = request->count;
    for (struct member *tensor = dataset->tensors; error == PF_OK && tensor != NULL;
         tensor = tensor->next) {
        tensor->reply = request->replies[--index];
        request->replies[index] = NULL;
        error = tensor_from_reply(&tensor->tensor, tensor->reply, failure);
        if (error != PF_OK)
            failure_set(failure, error, "the server's answer for '%s' is not a tensor",
                        tensor->key);
    }
    return error;
}

/* Names the tensor that is missing, if one is. */
static int explain(struct pf_client *client, const struct pf_dataset *dataset,
                   const struct request *request)
{
    int index = request->count;
    for (const struct member *tensor = dataset->tensors; tensor != NULL; tensor = tensor->next) {
        const redisReply *reply = request->replies == NULL ? NULL : request->replies[--index];
        if (reply != NULL && reply->type == REDIS_REPLY_ERROR)
            return client_explain(client, tensor->key, &none, client_node(client, tensor->key));
    }
    return PF_SERVER;
}

static int get_tensors(struct pf_client *client, struct pf_dataset *dataset, const char *key)
{
    struct request request = {0};
    int error = add_tensors(dataset, &request, &client->failure);
    if (error == PF_OK && request.count > 0) {
        error = client_call(client, &request, key, client_node(client, key));
        if (error == PF_SERVER)
            error = explain(client, dataset, &request);
        else if (error == PF_OK)
            error = take_tensors(dataset, &request, &client->failure);
    }
    request_free(&request);
    return error;
}

int pf_get_dataset(struct pf_client *client, struct pf_dataset **dataset, const char *name)
{
    int error = client_begin(client, "get data set '%s'", name);
    if (error == PF_OK)
        error = name_check(name, &client->failure);
    if (error != PF_OK)
        return error;
    struct pf_dataset *found = NULL;
    char *key = NULL;
    if (pf_dataset_initialize(&found, name) == PF_OK)
        key = dataset_key(found, "meta");
    error = key == NULL ? failure_set_no_memory(&client->failure)
                        : get_metadata(client, found, key);
    if (error == PF_OK)
        error = get_tensors(client, found, key);
    if (error == PF_OK && *dataset == NULL) {
        *dataset = found;
        found = NULL;
    } else if (error == PF_OK) {
        struct pf_dataset old = **dataset;
        **dataset = *found;
        *found = old;
    }
    pf_dataset_free(found);
    free(key);
    return error;
}

static int begin_list(struct pf_client *client, const char *list)
{
    int error = client_begin(client, "read list '%s'", list);
    return error != PF_OK ? error : name_check(list, &client->failure);
}

int pf_list_length(struct pf_client *client, const char *list, int64_t *length)
{
    *length = 0;
    int error = begin_list(client, list);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    request_add(&request, "LLEN", list, NULL);
    error = client_call(client, &request, list, client_node(client, list));
    if (error == PF_OK)
        *length = request_reply(&request, -1)->integer;
    request_free(&request);
    return error;
}

static bool names_dataset(const redisReply *entry)
{
    return entry->str != NULL && entry->len >= sizeof "{}" && entry->str[0] == '{' &&
           entry->str[entry->len - 1] == '}' && strlen(entry->str) == entry->len;
}

/* Copies the names into one block: their addresses, then their texts. */
static int take_names(const redisReply *entries, char ***names, struct failure *failure)
{
    if (entries->type != REDIS_REPLY_ARRAY)
        return failure_set(failure, PF_SERVER, "the server's answer is not a list");
    size_t size = (entries->elements + 1) * sizeof **names;
    for (size_t i = 0; i < entries->elements; ++i) {
        if (!names_dataset(entries->element[i]))
            return failure_set(failure, PF_DAMAGED,
                               "entry %zu is not {name}: append data sets only, by a client "
                               "without SSKEYOUT",
                               i + 1);
        size += entries->element[i]->len;
    }
    *names = malloc(size);
    if (*names == NULL)
        return failure_set_no_memory(failure);
    char *text = (char *)(*names + entries->elements + 1);
    for (size_t i = 0; i < entries->elements; ++i) {
        size_t length = entries->element[i]->len - 2; /* without braces */
        memcpy(text, entries->element[i]->str + 1, length);
        text[length] = '\0';
        (*names)[i] = text;
        text += length + 1;
    }
    (*names)[entries->elements] = NULL;
    return PF_OK;
}

int pf_get_list(struct pf_client *client, const char *list, int64_t *count, char ***names)
{
    *count = 0;
    *names = NULL;
    int error = begin_list(client, list);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    request_add(&request, "LRANGE", list, "0", "-1", NULL);
    error = client_call(client, &request, list, client_node(client, list));
    if (error == PF_OK)
        error = take_names(request_reply(&request, -1), names, &client->failure);
    if (error == PF_OK)
        *count = (int64_t)request_reply(&request, -1)->elements;
    request_free(&request);
    return error;
}
