/* Data sets: named tensors and metadata that travel together, as they are made and written. */
#include "dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_members(struct member *member)
{
    while (member != NULL) {
        struct member *next = member->next;
        free(member->name);
        free(member->bytes);
        free(member->text);
        free(member->key);
        freeReplyObject(member->reply);
        free(member);
        member = next;
    }
}

struct member *member_find(struct member *members, const char *name)
{
    while (members != NULL && strcmp(members->name, name) != 0)
        members = members->next;
    return members;
}

struct member *member_add(struct member **members, const char *name)
{
    struct member *member = calloc(1, sizeof *member);
    if (member == NULL)
        return NULL;
    member->name = strdup(name);
    if (member->name == NULL) {
        free(member);
        return NULL;
    }
    member->next = *members;
    *members = member;
    return member;
}

int pf_dataset_initialize(struct pf_dataset **handle, const char *name)
{
    if (*handle == NULL)
        *handle = calloc(1, sizeof **handle);
    struct pf_dataset *dataset = *handle;
    if (dataset == NULL)
        return PF_NO_MEMORY;
    free(dataset->name);
    free_members(dataset->tensors);
    free_members(dataset->fields);
    *dataset = (struct pf_dataset){0};
    failure_begin(&dataset->failure, "begin data set '%s'", name);
    if (name_check(name, &dataset->failure) != PF_OK)
        return PF_BAD_ARGUMENT;
    dataset->name = strdup(name);
    return dataset->name == NULL ? failure_set_no_memory(&dataset->failure) : PF_OK;
}

void pf_dataset_free(struct pf_dataset *dataset)
{
    if (dataset == NULL)
        return;
    free(dataset->name);
    free_members(dataset->tensors);
    free_members(dataset->fields);
    free(dataset);
}

const char *pf_dataset_message(const struct pf_dataset *dataset)
{
    return dataset == NULL ? "The data set has no name: initialize it first."
                           : dataset->failure.message;
}

/* Begins adding a tensor or a field. */
static int begin_add(struct pf_dataset *dataset, const char *kind, const char *name)
{
    if (dataset == NULL)
        return PF_BAD_ARGUMENT;
    const char *owner = dataset->name == NULL ? "" : dataset->name;
    failure_begin(&dataset->failure, "add %s '%s' to data set '%s'", kind, name, owner);
    if (dataset->name == NULL)
        return failure_set(&dataset->failure, PF_BAD_ARGUMENT, "the data set has no name");
    if (name[0] == '.')
        return failure_set(&dataset->failure, PF_BAD_ARGUMENT,
                           "names that begin with a full stop are the store's own");
    return name_check(name, &dataset->failure);
}

/* Appends values to a field, which it creates if need be. */
static int extend_field(struct pf_dataset *dataset, const char *name, enum field_type type,
                        const void *value, size_t size)
{
    struct member *field = member_find(dataset->fields, name);
    if (field != NULL && (field->size == 0 || field->bytes[0] != (char)type))
        return failure_set(&dataset->failure, PF_WRONG_TYPE,
                           "the field already holds values of another type");
    size_t old = field == NULL ? 1 : field->size;
    char *bytes = realloc(field == NULL ? NULL : field->bytes, old + size);
    if (bytes == NULL)
        return failure_set_no_memory(&dataset->failure);
    if (field == NULL) {
        field = member_add(&dataset->fields, name);
        if (field == NULL) {
            free(bytes);
            return failure_set_no_memory(&dataset->failure);
        }
        bytes[0] = (char)type;
    }
    memcpy(bytes + old, value, size);
    field->bytes = bytes;
    field->size = old + size;
    free(field->text);
    field->text = NULL;
    return PF_OK;
}

/* A string's value on the wire: its length as a native 64-bit integer, then its bytes. */
static int extend_string_field(struct pf_dataset *dataset, const char *name, const char *value)
{
    uint64_t length = strlen(value);
    char *bytes = malloc(sizeof length + length);
    if (bytes == NULL)
        return failure_set_no_memory(&dataset->failure);
    memcpy(bytes, &length, sizeof length);
    memcpy(bytes + sizeof length, value, length);
    int error = extend_field(dataset, name, STRING, bytes, sizeof length + length);
    free(bytes);
    return error;
}

int pf_dataset_add_tensor(struct pf_dataset *dataset, const char *name, const CFI_cdesc_t *array)
{
    struct tensor tensor;
    char *copied = NULL;
    int error = begin_add(dataset, "tensor", name);
    if (error != PF_OK)
        return error;
    if (member_find(dataset->tensors, name) != NULL)
        return failure_set(&dataset->failure, PF_BAD_ARGUMENT, "it has a tensor of this name");
    error = tensor_pack(&tensor, &copied, array, &dataset->failure);
    if (error != PF_OK)
        return error;
    if (copied == NULL) { /* the array's own memory, which will change */
        copied = malloc(tensor.size);
        if (copied == NULL)
            return failure_set_no_memory(&dataset->failure);
        memcpy(copied, tensor.bytes, tensor.size);
    }
    char *key = dataset_key(dataset, name);
    struct member *member = key == NULL ? NULL : member_add(&dataset->tensors, name);
    if (member == NULL) {
        free(key);
        free(copied);
        return failure_set_no_memory(&dataset->failure);
    }
    tensor.bytes = copied;
    member->bytes = copied;
    member->size = tensor.size;
    member->key = key;
    member->tensor = tensor;
    return extend_string_field(dataset, TENSOR_NAMES, name);
}

int pf_dataset_add_int32(struct pf_dataset *dataset, const char *field, int32_t value)
{
    int error = begin_add(dataset, "metadata", field);
    return error != PF_OK ? error : extend_field(dataset, field, INT32, &value, sizeof value);
}

int pf_dataset_add_int64(struct pf_dataset *dataset, const char *field, int64_t value)
{
    int error = begin_add(dataset, "metadata", field);
    return error != PF_OK ? error : extend_field(dataset, field, INT64, &value, sizeof value);
}

int pf_dataset_add_float(struct pf_dataset *dataset, const char *field, float value)
{
    int error = begin_add(dataset, "metadata", field);
    return error != PF_OK ? error : extend_field(dataset, field, FLOAT, &value, sizeof value);
}

int pf_dataset_add_double(struct pf_dataset *dataset, const char *field, double value)
{
    int error = begin_add(dataset, "metadata", field);
    return error != PF_OK ? error : extend_field(dataset, field, DOUBLE, &value, sizeof value);
}

int pf_dataset_add_string(struct pf_dataset *dataset, const char *field, const char *value)
{
    int error = begin_add(dataset, "metadata", field);
    return error != PF_OK ? error : extend_string_field(dataset, field, value);
}

char *dataset_key(const struct pf_dataset *dataset, const char *name)
{
    size_t size = strlen(dataset->name) + strlen(name) + sizeof "{}.";
    char *key = malloc(size);
    if (key != NULL)
        snprintf(key, size, "{%s}.%s", dataset->name, name);
    return key;
}

const char *dataset_name(const struct pf_dataset *dataset)
{
    return dataset == NULL || dataset->name == NULL ? "" : dataset->name;
}

/* Appends entry ARGV[1] to list KEYS[2], unless the client, whose number KEYS[1] holds, has done
 * its append number ARGV[2] or a later one: so it may be sent again. */
static const char append[] = "if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[2]) then "
                             "redis.call('RPUSH', KEYS[2], ARGV[1]) "
                             "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end return 1";
/* For so long after the call's time limit the server knows what the client has done. */
#define MEMORY 60.0 /* s */

void dataset_add_append(const struct pf_dataset *dataset, struct request *request,
                        struct pf_client *client, const char *list)
{
    struct prefix prefix = cluster_prefix_of_key(client, &client->target, list);
    char number[64];
    snprintf(number, sizeof number, "parslflow.%s.appends", client->id);
    request_begin(request, 8);
    request_text(request, "EVAL");
    request_text(request, append);
    request_text(request, "2");
    request_key(request, &prefix, number);
    request_key(request, &client->target, list);
    request_join(request, client->target.bytes, "{", dataset->name, "}", NULL);
    request_number(request, ++client->appends);
    request_number(request, (long long)(1e3 * (client->time_limit + MEMORY)));
}

void dataset_add_put(const struct pf_dataset *dataset, struct request *request,
                     struct pf_client *client, const char *list)
{
    request_add(request, "MULTI", NULL);
    request_begin(request, 2);
    request_text(request, "DEL");
    request_join(request, client->target.bytes, "{", dataset->name, "}.meta", NULL);
    int fields = 1;
    for (const struct member *field = dataset->fields; field != NULL; field = field->next)
        ++fields;
    request_begin(request, 2 + 2 * fields);
    request_text(request, "HSET");
    request_join(request, client->target.bytes, "{", dataset->name, "}.meta", NULL);
    for (const struct member *field = dataset->fields; field != NULL; field = field->next) {
        request_text(request, field->name);
        request_bytes(request, field->bytes, field->size);
    }
    request_text(request, COMPLETE);
    request_text(request, "1");
    for (const struct member *member = dataset->tensors; member != NULL; member = member->next)
        tensor_add_set(request, &client->target, member->key, &member->tensor);
    if (list != NULL)
        dataset_add_append(dataset, request, client, list);
    request_add(request, "EXEC", NULL);
}
