/* Fortran arrays to row-major bytes and back. */
#include "internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A formatted command's length is an int in hiredis; this leaves room for the other words. */
#define LARGEST_TENSOR ((size_t)INT_MAX - 65536)
/* Edge of the blocks in which a plane is transposed: two of 32 x 32 doubles fill half of a 32 KiB
 * first-level cache. */
#define BLOCK 32

struct layout {
    char *base;
    ptrdiff_t strides[CFI_MAX_RANK]; /* bytes */
};

static const char *type_name(CFI_type_t type)
{
    if (type == CFI_type_double)
        return "DOUBLE";
    if (type == CFI_type_float)
        return "FLOAT";
    if (type == CFI_type_int32_t)
        return "INT32";
    return NULL;
}

int tensor_describe(struct tensor *tensor, const CFI_cdesc_t *array, struct failure *failure)
{
    tensor->type = type_name(array->type);
    if (tensor->type == NULL)
        return failure_set(failure, PF_WRONG_TYPE, "the array is neither real32, real64 nor int32");
    if (array->rank == 0)
        return failure_set(failure, PF_WRONG_SHAPE, "a scalar was given where an array is needed");
    tensor->rank = array->rank;
    tensor->size = array->elem_len;
    for (int d = 0; d < array->rank; ++d) {
        CFI_index_t extent = array->dim[d].extent;
        if (array->base_addr == NULL || extent < 1)
            return failure_set(failure, PF_WRONG_SHAPE,
                               "the array is empty, unallocated or of assumed size");
        if ((size_t)extent > LARGEST_TENSOR / tensor->size)
            return failure_set(failure, PF_BAD_ARGUMENT, "the array is larger than 2 GiB");
        tensor->extents[d] = extent;
        tensor->size *= (size_t)extent;
    }
    return PF_OK;
}

bool tensor_is_row_major(const CFI_cdesc_t *array)
{
    return array->rank == 1 && array->dim[0].sm == (CFI_index_t)array->elem_len;
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
    if (array->elem_len == 4)
        copy_plane(&to, &from, 0, last, first_extent, array->dim[last].extent, 4);
    else
        copy_plane(&to, &from, 0, last, first_extent, array->dim[last].extent, 8);
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

void tensor_pack(char *bytes, const CFI_cdesc_t *array)
{
    copy(wire_layout(array, bytes), array_layout(array), 1, array);
}

void tensor_unpack(const CFI_cdesc_t *array, const char *bytes)
{
    copy(array_layout(array), wire_layout(array, (char *)bytes), 1, array);
}

void tensor_shape_text(char text[SHAPE_TEXT], const struct tensor *tensor)
{
    int length = 0;
    for (int d = 0; d < tensor->rank; ++d)
        length += snprintf(text + length, SHAPE_TEXT - (size_t)length, "%s%lld",
                           d == 0 ? "" : " x ", tensor->extents[d]);
}

void tensor_add_set(struct request *request, const char *key, const struct tensor *tensor,
                    const char *bytes)
{
    const char *words[4 + CFI_MAX_RANK + 1] = {"AI.TENSORSET", key, tensor->type};
    size_t lengths[4 + CFI_MAX_RANK + 1];
    char extents[CFI_MAX_RANK][24];
    int count = 3;
    for (int d = 0; d < tensor->rank; ++d) {
        snprintf(extents[d], sizeof extents[d], "%lld", tensor->extents[d]);
        words[count++] = extents[d];
    }
    words[count++] = "BLOB";
    for (int i = 0; i < count; ++i)
        lengths[i] = strlen(words[i]);
    words[count] = bytes;
    lengths[count++] = tensor->size;
    request_add_words(request, count, words, lengths);
}
