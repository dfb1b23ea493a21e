/* Fortran arrays to row-major bytes and back. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Edge of the blocks in which a plane is transposed: two of 32 x 32 doubles fill half of a 32 KiB
 * first-level cache. */
#define BLOCK 32

struct layout {
    char *base;
    ptrdiff_t strides[CFI_MAX_RANK]; /* bytes */
};

static const char *type_name(CFI_type_t type)
{
    static const struct {
        CFI_type_t type;
        const char *name;
    } names[] = {
        {CFI_type_double, "DOUBLE"}, {CFI_type_float, "FLOAT"},   {CFI_type_int8_t, "INT8"},
        {CFI_type_int16_t, "INT16"}, {CFI_type_int32_t, "INT32"}, {CFI_type_int64_t, "INT64"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (names[i].type == type)
            return names[i].name;
    return NULL;
}

int tensor_describe(struct tensor *tensor, const CFI_cdesc_t *array, struct failure *failure)
{
    const char *type = type_name(array->type);
    if (type == NULL)
        return failure_set(failure, PF_WRONG_TYPE,
                           "the array is neither real32 or real64 nor int8, int16, int32 or int64");
    if (array->rank == 0)
        return failure_set(failure, PF_WRONG_SHAPE, "a scalar was given where an array is needed");
    *tensor = (struct tensor){.rank = array->rank, .size = array->elem_len};
    strcpy(tensor->type, type);
    for (int d = 0; d < array->rank; ++d) {
        CFI_index_t extent = array->dim[d].extent;
        if (array->base_addr == NULL || extent < 1)
            return failure_set(failure, PF_WRONG_SHAPE,
                               "the array is empty, unallocated or of assumed size");
        tensor->extents[d] = extent;
        tensor->size *= (size_t)extent;
    }
    return PF_OK;
}

/* Whether the array's memory is what the wire wants. */
static bool is_row_major(const CFI_cdesc_t *array)
{
    CFI_index_t stride = (CFI_index_t)array->elem_len;
    for (int d = array->rank - 1; d >= 0; --d) {
        if (array->dim[d].extent > 1 && array->dim[d].sm != stride)
            return false;
        stride *= array->dim[d].extent;
    }
    return true;
}

/* Copies the elements of two dimensions, of which `inner` is contiguous in `to` or in `from`. The
 * element's size is a constant in each copy of this code, so that memcpy becomes a move. */
static inline void copy_plane(const struct layout *to, const struct layout *from, int outer,
                              int inner, ptrdiff_t outer_extent, ptrdiff_t inner_extent,
                              size_t size)
{
    for (ptrdiff_t i0 = 0; i0 < outer_extent; i0 += BLOCK)
        for (ptrdiff_t j0 = 0; j0 < inner_extent; j0 += BLOCK) {
            ptrdiff_t i1 = i0 + BLOCK < outer_extent ? i0 + BLOCK : outer_extent;
            ptrdiff_t j1 = j0 + BLOCK < inner_extent ? j0 + BLOCK : inner_extent;
            for (ptrdiff_t i = i0; i < i1; ++i)
                for (ptrdiff_t j = j0; j < j1; ++j)
                    memcpy(to->base + i * to->strides[outer] + j * to->strides[inner],
                           from->base + i * from->strides[outer] + j * from->strides[inner], size);
        }
}

/* Copies elements between two layouts of one shape: plane after plane of the first and the last
 * dimension, one of which is the fastest in Fortran, the other on the wire. */
static void copy(struct layout to, struct layout from, int dimension, const CFI_cdesc_t *array)
{
    int last = array->rank - 1;
    if (dimension < last) {
        for (CFI_index_t i = 0; i < array->dim[dimension].extent; ++i) {
            copy(to, from, dimension + 1, array);
            to.base += to.strides[dimension];
            from.base += from.strides[dimension];
        }
        return;
    }
    ptrdiff_t first_extent = last == 0 ? 1 : array->dim[0].extent;
    ptrdiff_t last_extent = array->dim[last].extent;
    switch (array->elem_len) {
    case 1:
        copy_plane(&to, &from, 0, last, first_extent, last_extent, 1);
        break;
    case 2:
        copy_plane(&to, &from, 0, last, first_extent, last_extent, 2);
        break;
    case 4:
        copy_plane(&to, &from, 0, last, first_extent, last_extent, 4);
        break;
    default:
        copy_plane(&to, &from, 0, last, first_extent, last_extent, 8);
    }
}

static struct layout array_layout(const CFI_cdesc_t *array)
{
    struct layout layout = {.base = array->base_addr};
    for (int d = 0; d < array->rank; ++d)
        layout.strides[d] = array->dim[d].sm;
    return layout;
}

static struct layout wire_layout(const CFI_cdesc_t *array, char *bytes)
{
    struct layout layout = {.base = bytes};
    ptrdiff_t stride = (ptrdiff_t)array->elem_len;
    for (int d = array->rank - 1; d >= 0; --d) {
        layout.strides[d] = stride;
        stride *= array->dim[d].extent;
    }
    return layout;
}

int tensor_pack(struct tensor *tensor, char **copied, const CFI_cdesc_t *array,
                struct failure *failure)
{
    *copied = NULL;
    int error = tensor_describe(tensor, array, failure);
    if (error != PF_OK)
        return error;
    tensor->bytes = array->base_addr;
    if (is_row_major(array))
        return PF_OK;
    *copied = malloc(tensor->size);
    if (*copied == NULL)
        return failure_set_no_memory(failure);
    copy(wire_layout(array, *copied), array_layout(array), 1, array);
    tensor->bytes = *copied;
    return PF_OK;
}

#define SHAPE_TEXT 400 /* long enough for CFI_MAX_RANK extents */

static void write_shape(char text[SHAPE_TEXT], const struct tensor *tensor)
{
    int length = 0;
    text[0] = '\0';
    for (int d = 0; d < tensor->rank; ++d)
        length += snprintf(text + length, SHAPE_TEXT - (size_t)length, "%s%lld",
                           d == 0 ? "" : " x ", tensor->extents[d]);
}

int tensor_unpack(CFI_cdesc_t *array, const struct tensor *wanted, const struct tensor *found,
                  const char *what, struct failure *failure)
{
    if (strcmp(found->type, wanted->type) != 0)
        return failure_set(failure, PF_WRONG_TYPE, "%s is of type %s, but the array of type %s",
                           what, found->type, wanted->type);
    if (found->rank != wanted->rank ||
        memcmp(found->extents, wanted->extents,
               (size_t)found->rank * sizeof *found->extents) != 0) {
        char found_text[SHAPE_TEXT];
        char wanted_text[SHAPE_TEXT];
        write_shape(found_text, found);
        write_shape(wanted_text, wanted);
        return failure_set(failure, PF_WRONG_SHAPE,
                           "%s has the shape (%s), but the array has (%s)", what, found_text,
                           wanted_text);
    }
    if (found->size != wanted->size)
        return failure_set(failure, PF_SERVER, "%s came with %zu bytes of %zu", what, found->size,
                           wanted->size);
    copy(array_layout(array), wire_layout(array, (char *)found->bytes), 1, array);
    return PF_OK;
}

void tensor_add_set(struct request *request, const struct prefix *prefix, const char *key,
                    const struct tensor *tensor)
{
    request_begin(request, 5 + tensor->rank);
    request_text(request, "AI.TENSORSET");
    request_key(request, prefix, key);
    request_text(request, tensor->type);
    for (int d = 0; d < tensor->rank; ++d)
        request_number(request, tensor->extents[d]);
    request_text(request, "BLOB");
    request_bytes(request, tensor->bytes, tensor->size);
}

void tensor_add_get(struct request *request, const struct prefix *prefix, const char *key)
{
    request_begin(request, 4);
    request_text(request, "AI.TENSORGET");
    request_key(request, prefix, key);
    request_text(request, "META");
    request_text(request, "BLOB");
}

/* The answer is: "dtype", type, "shape", [extents], "blob", bytes. */
int tensor_from_reply(struct tensor *tensor, const redisReply *reply, struct failure *failure)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 6 ||
        reply->element[1]->str == NULL || reply->element[1]->len >= sizeof tensor->type ||
        reply->element[3]->type != REDIS_REPLY_ARRAY ||
        reply->element[3]->elements > CFI_MAX_RANK || reply->element[5]->str == NULL)
        return failure_set(failure, PF_SERVER, "the server's answer is not a tensor");
    *tensor = (struct tensor){.rank = (int)reply->element[3]->elements};
    strcpy(tensor->type, reply->element[1]->str);
    for (int d = 0; d < tensor->rank; ++d)
        tensor->extents[d] = reply->element[3]->element[d]->integer;
    tensor->bytes = reply->element[5]->str;
    tensor->size = reply->element[5]->len;
    return PF_OK;
}
