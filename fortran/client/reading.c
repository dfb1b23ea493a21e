/* The calls that get data sets and lists. */
#include "dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    request_begin(&request, 2);
    request_text(&request, "HGETALL");
    request_key(&request, &client->source, key);
    int error = client_call(client, &request, client_slot(client, &client->source, key));
    const redisReply *answer = error == PF_OK ? request_reply(&request, -1) : NULL;
    if (answer != NULL && (answer->type != REDIS_REPLY_ARRAY || answer->elements % 2 != 0))
        error = failure_set(&client->failure, PF_SERVER, "the server's answer is not metadata");
    else if (answer != NULL && answer->elements == 0)
        error = failure_set(&client->failure, PF_MISSING_KEY, "there is no key '%s%s'",
                            client->source.bytes, key);
    for (size_t i = 0; error == PF_OK && i < answer->elements; i += 2)
        error = take_field(dataset, answer->element[i], answer->element[i + 1], &client->failure);
    request_free(&request);
    return error;
}

/* Adds the tensors that the metadata name, without their values, and asks for these. */
static int add_tensors(struct pf_client *client, struct pf_dataset *dataset,
                       struct request *request)
{
    struct failure *failure = &client->failure;
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
        tensor_add_get(request, &client->source, tensor->key);
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
            return client_explain(client, &client->source, tensor->key);
    }
    return PF_SERVER;
}

static int get_tensors(struct pf_client *client, struct pf_dataset *dataset, const char *key)
{
    struct request request = {0};
    int error = add_tensors(client, dataset, &request);
    if (error == PF_OK && request.count > 0) {
        error = client_call(client, &request, client_slot(client, &client->source, key));
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
    request_begin(&request, 2);
    request_text(&request, "LLEN");
    request_key(&request, &client->source, list);
    error = client_call(client, &request, client_slot(client, &client->source, list));
    if (error == PF_OK)
        *length = request_reply(&request, -1)->integer;
    request_free(&request);
    return error;
}

struct told {
    char text[sizeof "the keyspace ''" + LONGEST_KEYSPACE];
};

/* The keyspace of a prefix in words. */
static struct told tell(const char *prefix, size_t length)
{
    struct told told = {"no keyspace"};
    if (length > 0)
        snprintf(told.text, sizeof told.text, "the keyspace '%.*s'", (int)length - 1, prefix);
    return told;
}

/* Whether the entry is {name} behind the source's prefix; index: for the message. */
static int check_entry(struct pf_client *client, const redisReply *entry, size_t index)
{
    const struct prefix *source = &client->source;
    const char *open = entry->str == NULL ? NULL : strchr(entry->str, '{');
    size_t before = open == NULL ? 0 : (size_t)(open - entry->str);
    bool divided = before == 0 || (before > 1 && open[-1] == '.');
    if (open == NULL || strlen(entry->str) != entry->len || entry->len < before + sizeof "{}" ||
        entry->str[entry->len - 1] != '}' || memchr(entry->str, '}', before) != NULL || !divided)
        return failure_set(&client->failure, PF_DAMAGED,
                           "entry %zu is not {name} or keyspace.{name}: append data sets only",
                           index + 1);
    if (before != source->length || memcmp(entry->str, source->bytes, before) != 0)
        return failure_set(&client->failure, PF_DAMAGED,
                           "entry %zu is of %s, but the list of %s: append by a client whose "
                           "SSKEYOUT is the list's keyspace",
                           index + 1, tell(entry->str, before).text,
                           tell(source->bytes, source->length).text);
    return PF_OK;
}

/* Copies the names into one block: their addresses, then their texts. */
static int take_names(struct pf_client *client, const redisReply *entries, char ***names)
{
    if (entries->type != REDIS_REPLY_ARRAY)
        return failure_set(&client->failure, PF_SERVER, "the server's answer is not a list");
    size_t size = (entries->elements + 1) * sizeof **names;
    for (size_t i = 0; i < entries->elements; ++i) {
        int error = check_entry(client, entries->element[i], i);
        if (error != PF_OK)
            return error;
        size += entries->element[i]->len;
    }
    *names = malloc(size);
    if (*names == NULL)
        return failure_set_no_memory(&client->failure);
    char *text = (char *)(*names + entries->elements + 1);
    size_t before = client->source.length;
    for (size_t i = 0; i < entries->elements; ++i) {
        size_t length = entries->element[i]->len - before - 2; /* without braces */
        memcpy(text, entries->element[i]->str + before + 1, length);
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
    request_begin(&request, 4);
    request_text(&request, "LRANGE");
    request_key(&request, &client->source, list);
    request_text(&request, "0");
    request_text(&request, "-1");
    error = client_call(client, &request, client_slot(client, &client->source, list));
    if (error == PF_OK)
        error = take_names(client, request_reply(&request, -1), names);
    if (error == PF_OK)
        *count = (int64_t)request_reply(&request, -1)->elements;
    request_free(&request);
    return error;
}
