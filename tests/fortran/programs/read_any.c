/* Reads the data sets given as arguments: read_any FIELD NAME ...
 *
 * Prints for each one line: the error code; the tensors that could be read as their types say; and of
 * the field its error code, and in hexadecimal its values. */
#include "parslflow_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_bytes(const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; ++i)
        printf("%02x", ((const unsigned char *)bytes)[i]);
}

static CFI_type_t type_of(const char *name)
{
    if (strcmp(name, "DOUBLE") == 0)
        return CFI_type_double;
    return strcmp(name, "INT8") == 0 ? CFI_type_int8_t : CFI_type_float;
}

static void read_tensor(struct pf_dataset *dataset, const char *name)
{
    const char *type;
    int rank;
    int64_t extents[CFI_MAX_RANK];
    if (pf_dataset_describe_tensor(dataset, name, &type, &rank, extents) != PF_OK)
        abort();
    CFI_CDESC_T(CFI_MAX_RANK) space;
    CFI_cdesc_t *array = (CFI_cdesc_t *)&space;
    CFI_index_t lower[CFI_MAX_RANK];
    CFI_index_t upper[CFI_MAX_RANK];
    for (int d = 0; d < rank; ++d) {
        lower[d] = 1;
        upper[d] = extents[d];
    }
    CFI_establish(array, NULL, CFI_attribute_allocatable, type_of(type), 0, (CFI_rank_t)rank, NULL);
    CFI_allocate(array, lower, upper, 0);
    if (pf_dataset_get_tensor(dataset, name, array) == PF_OK)
        printf(" %s", name);
    CFI_deallocate(array);
}

static void read_tensors(struct pf_dataset *dataset)
{
    int64_t count;
    if (pf_dataset_tensor_count(dataset, &count) != PF_OK)
        abort();
    const char **names = calloc((size_t)count + 1, sizeof *names);
    if (pf_dataset_tensor_names(dataset, count, names) != PF_OK)
        abort();
    for (int64_t i = 0; i < count; ++i)
        read_tensor(dataset, names[i]);
    free(names);
}

static void read_field(struct pf_dataset *dataset, const char *field)
{
    int64_t count;
    int error = pf_dataset_metadata_count(dataset, field, &count);
    void *values = calloc((size_t)count + 1, 8);
    const char **strings = values;
    if (pf_dataset_get_strings(dataset, field, count, strings) == PF_OK) {
        printf(" %d strings", error);
        for (int64_t i = 0; i < count; ++i) {
            printf(":");
            print_bytes(strings[i], strlen(strings[i]));
        }
    } else {
        size_t size = 0;
        if (pf_dataset_get_double(dataset, field, count, values) == PF_OK ||
            pf_dataset_get_int64(dataset, field, count, values) == PF_OK)
            size = 8;
        else if (pf_dataset_get_float(dataset, field, count, values) == PF_OK ||
                 pf_dataset_get_int32(dataset, field, count, values) == PF_OK)
            size = 4;
        printf(" %d numbers:", error);
        print_bytes(values, size * (size_t)count);
    }
    free(values);
}

int main(int count, char *arguments[])
{
    struct pf_client *client = NULL;
    struct pf_dataset *dataset = NULL;
    if (count < 2 || pf_connect(&client, 30) != PF_OK)
        return 1;
    for (int i = 2; i < count; ++i) {
        int error = pf_get_dataset(client, &dataset, arguments[i]);
        printf("%d", error);
        if (error == PF_OK) {
            read_tensors(dataset);
            read_field(dataset, arguments[1]);
        }
        printf("\n");
    }
    pf_dataset_free(dataset);
    pf_disconnect(client);
    return 0;
}
