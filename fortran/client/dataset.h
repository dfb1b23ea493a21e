/* What a data set holds. */
#ifndef PARSLFLOW_CLIENT_DATASET_H
#define PARSLFLOW_CLIENT_DATASET_H

#include "internal.h"

#define TENSOR_NAMES ".tensor_names" /* the field that lists the tensors */
#define COMPLETE ".COMPLETE"         /* the field of a data set that is in the store as a whole */

/* The first byte of a metadata field on the wire. */
enum field_type { DOUBLE = 1, FLOAT, INT32, INT64, UINT32, UINT64, STRING };

/* A tensor or a field. */
struct member {
    struct member *next;
    char *name;
    char *bytes; /* of a field as on the wire, or of a tensor that was added; NULL of one got */
    size_t size;
    char *text;    /* of a field whose strings were asked for: these, a zero at the end of each */
    int64_t count; /* of those */
    /* Of a tensor only: */
    char *key; /* {data set}.name, in whatever keyspace */
    struct tensor tensor;
    redisReply *reply; /* that it came in, with its bytes; NULL of one that was added */
};

struct pf_dataset {
    struct failure failure;
    char *name;
    struct member *tensors; /* the latest first */
    struct member *fields;
};

/* NULL if there is none. */
struct member *member_find(struct member *members, const char *name);
/* A new one before the others; NULL without memory. */
struct member *member_add(struct member **members, const char *name);

/* {data set}.name, which the caller frees; NULL without memory. */
char *dataset_key(const struct pf_dataset *dataset, const char *name);

/* How many values a field has, of which type. */
int field_count(struct member *field, enum field_type *type, int64_t *count,
                struct failure *failure);
/* Sets *first to the first string of a field of strings; each other follows the zero of the one
 * before it. They live as long as the field is not added to. */
int field_strings(struct member *field, const char **first, int64_t *count,
                  struct failure *failure);

#endif
