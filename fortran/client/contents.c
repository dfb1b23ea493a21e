/* What is in a data set: names, types and values. */
#include "dataset.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size; /* of a value; 0: each has its own */
} types[] = {
    [DOUBLE] = {"double", 8}, [FLOAT] = {"float", 4},   [INT32] = {"int32", 4},
    [INT64] = {"int64", 8},   [UINT32] = {"uint32", 4}, [UINT64] = {"uint64", 8},
    [STRING] = {"string", 0},
};

/* Copies the strings of a field into text, which has room for as many bytes as the field. */
static int split(struct member *field, char *text, struct failure *failure)
{
    const char *at = field->bytes + 1; /* each: its length as a native 64-bit integer, its bytes */
    const char *end = field->bytes + field->size;
    for (field->count = 0; at < end; ++field->count) {
        uint64_t length;
        if ((size_t)(end - at) < sizeof length)
            return failure_set(failure, PF_DAMAGED,
                               "the metadata '%s' end inside a string's length: they were cut",
                               field->name);
        memcpy(&length, at, sizeof length);
        at += sizeof length;
        if (length > (uint64_t)(end - at))
            return failure_set(failure, PF_DAMAGED,
                               "the metadata '%s' end inside a string of %llu bytes: they were cut",
                               field->name, (unsigned long long)length);
        if (memchr(at, '\0', length) != NULL)
            return failure_set(failure, PF_DAMAGED,
                               "a string of the metadata '%s' has a zero byte in it", field->name);
        memcpy(text, at, length);
        text[length] = '\0';
        text += length + 1;
        at += length;
    }
    return PF_OK;
}

int field_strings(struct member *field, const char **first, int64_t *count,
                  struct failure *failure)
{
    if (field->text == NULL) {
        char *text = malloc(field->size);
        if (text == NULL)
            return failure_set_no_memory(failure);
        int error = split(field, text, failure);
        if (error != PF_OK) {
            free(text);
            return error;
        }
        field->text = text;
    }
    *first = field->text;
    *count = field->count;
    return PF_OK;
}

int field_count(struct member *field, enum field_type *type, int64_t *count,
                struct failure *failure)
{
    if (field->size == 0)
        return failure_set(failure, PF_DAMAGED, "the metadata '%s' lack even their type",
                           field->name);
    unsigned char code = (unsigned char)field->bytes[0];
    if (code < DOUBLE || code > STRING)
        return failure_set(failure, PF_DAMAGED, "the metadata '%s' are of the unknown type %d",
                           field->name, code);
    *type = code;
    if (*type == STRING) {
        const char *first;
        return field_strings(field, &first, count, failure);
    }
    size_t size = field->size - 1;
    if (size % types[code].size != 0)
        return failure_set(failure, PF_DAMAGED,
                           "the metadata '%s' have %zu bytes, not whole values of type %s: they "
                           "were cut",
                           field->name, size, types[code].name);
    *count = (int64_t)(size / types[code].size);
    return PF_OK;
}

/* Begins a look at a tensor or at metadata. */
static int begin(struct pf_dataset *dataset, const char *kind, const char *name)
{
    if (dataset == NULL)
        return PF_BAD_ARGUMENT;
    failure_begin(&dataset->failure, "read %s '%s' of data set '%s'", kind, name,
                  dataset_name(dataset));
    if (dataset->name == NULL)
        return failure_set(&dataset->failure, PF_BAD_ARGUMENT, "the data set has no name");
    return PF_OK;
}

static int begin_tensor(struct pf_dataset *dataset, const char *name, struct member **tensor)
{
    int error = begin(dataset, "tensor", name);
    if (error != PF_OK)
        return error;
    *tensor = member_find(dataset->tensors, name);
    if (*tensor == NULL)
        return failure_set(&dataset->failure, PF_MISSING_KEY, "it has no tensor of this name");
    return PF_OK;
}

static int begin_field(struct pf_dataset *dataset, const char *name, struct member **field)
{
    int error = begin(dataset, "metadata", name);
    if (error != PF_OK)
        return error;
    *field = member_find(dataset->fields, name);
    if (*field == NULL)
        return failure_set(&dataset->failure, PF_MISSING_KEY, "it has no metadata of this name");
    return PF_OK;
}

int pf_dataset_tensor_count(struct pf_dataset *dataset, int64_t *count)
{
    int error = begin(dataset, "metadata", TENSOR_NAMES);
    *count = 0;
    for (struct member *tensor = dataset == NULL ? NULL : dataset->tensors; tensor != NULL;
         tensor = tensor->next)
        ++*count;
    return error;
}

/* What the caller's array must be like. */
static int check(struct pf_dataset *dataset, enum field_type found_type, enum field_type type,
                 int64_t found_count, int64_t count)
{
    if (found_type != type)
        return failure_set(&dataset->failure, PF_WRONG_TYPE,
                           "it holds values of type %s, but the array is for type %s",
                           types[found_type].name, types[type].name);
    if (found_count != count)
        return failure_set(&dataset->failure, PF_WRONG_SHAPE,
                           "it holds %lld values, but the array has room for %lld",
                           (long long)found_count, (long long)count);
    return PF_OK;
}

int pf_dataset_tensor_names(struct pf_dataset *dataset, int64_t count, const char *names[])
{
    int64_t found;
    int error = pf_dataset_tensor_count(dataset, &found);
    if (error == PF_OK)
        error = check(dataset, STRING, STRING, found, count);
    if (error != PF_OK)
        return error;
    for (const struct member *tensor = dataset->tensors; tensor != NULL; tensor = tensor->next)
        names[--found] = tensor->name;
    return PF_OK;
}

int pf_dataset_describe_tensor(struct pf_dataset *dataset, const char *name, const char **type,
                               int *rank, int64_t extents[])
{
    struct member *member;
    int error = begin_tensor(dataset, name, &member);
    if (error != PF_OK)
        return error;
    *type = member->tensor.type;
    *rank = member->tensor.rank;
    for (int d = 0; d < *rank; ++d)
        extents[d] = member->tensor.extents[d];
    return PF_OK;
}

int pf_dataset_get_tensor(struct pf_dataset *dataset, const char *name, CFI_cdesc_t *array)
{
    struct member *member;
    struct tensor wanted;
    int error = begin_tensor(dataset, name, &member);
    if (error == PF_OK)
        error = tensor_describe(&wanted, array, &dataset->failure);
    return error != PF_OK
               ? error
               : tensor_unpack(array, &wanted, &member->tensor, "it", &dataset->failure);
}

int pf_dataset_metadata_count(struct pf_dataset *dataset, const char *field, int64_t *count)
{
    struct member *member;
    enum field_type type;
    *count = 0;
    int error = begin_field(dataset, field, &member);
    return error != PF_OK ? error : field_count(member, &type, count, &dataset->failure);
}

/* The field, if it is of the type and has so many values. */
static int get_field(struct pf_dataset *dataset, const char *name, enum field_type type,
                     int64_t count, struct member **field)
{
    enum field_type found_type;
    int64_t found_count;
    int error = begin_field(dataset, name, field);
    if (error == PF_OK)
        error = field_count(*field, &found_type, &found_count, &dataset->failure);
    return error != PF_OK ? error : check(dataset, found_type, type, found_count, count);
}

static int get_numbers(struct pf_dataset *dataset, const char *name, enum field_type type,
                       int64_t count, void *values)
{
    struct member *field;
    int error = get_field(dataset, name, type, count, &field);
    if (error == PF_OK && count > 0)
        memcpy(values, field->bytes + 1, field->size - 1);
    return error;
}

int pf_dataset_get_int32(struct pf_dataset *dataset, const char *field, int64_t count,
                         int32_t values[])
{
    return get_numbers(dataset, field, INT32, count, values);
}

int pf_dataset_get_int64(struct pf_dataset *dataset, const char *field, int64_t count,
                         int64_t values[])
{
    return get_numbers(dataset, field, INT64, count, values);
}

int pf_dataset_get_float(struct pf_dataset *dataset, const char *field, int64_t count,
                         float values[])
{
    return get_numbers(dataset, field, FLOAT, count, values);
}

int pf_dataset_get_double(struct pf_dataset *dataset, const char *field, int64_t count,
                          double values[])
{
    return get_numbers(dataset, field, DOUBLE, count, values);
}

int pf_dataset_get_strings(struct pf_dataset *dataset, const char *field, int64_t count,
                           const char *values[])
{
    struct member *member;
    int error = get_field(dataset, field, STRING, count, &member);
    const char *value = error == PF_OK ? member->text : NULL;
    for (int64_t i = 0; error == PF_OK && i < count; ++i) {
        values[i] = value;
        value += strlen(value) + 1;
    }
    return error;
}
