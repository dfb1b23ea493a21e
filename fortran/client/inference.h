/* Between the C core and libparslflow_inference.so, which alone knows libtorch. */
#ifndef PARSLFLOW_INFERENCE_H
#define PARSLFLOW_INFERENCE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A tensor as the wire has it: row-major bytes. */
struct tensor {
    char type[8]; /* FLOAT, DOUBLE, INT8, INT16, INT32, INT64, UINT8 or UINT16 */
    int rank;
    long long extents[15]; /* as many as CFI_MAX_RANK */
    size_t size;           /* bytes */
    const char *bytes;     /* NULL: not there yet */
};

/* Loads TorchScript onto the CPU; NULL, with the cause in message, if that cannot be done. */
void *pf_inference_load(const char *path, char *message, size_t message_size);

/* Runs the model. The outputs' bytes are its own until it is run again or freed. 0, or 1 with the
 * cause in message. */
int pf_inference_run(void *model, int input_count, const struct tensor inputs[], int output_count,
                     struct tensor outputs[], char *message, size_t message_size);

void pf_inference_free(void *model);

#ifdef __cplusplus
}
#endif

#endif
