/* Models that run in this process. libtorch is loaded at the first of them, from a library of its
 * own, so that programs do not link it. */
#include "internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct model {
    struct model *next;
    char *name;
    void *handle;
};

struct in_process {
    char *folder;  /* of the models */
    char *library; /* its path */
    void *loaded;  /* the library; NULL: not yet */
    void *(*load)(const char *, char *, size_t);
    int (*run)(void *, int, const struct tensor[], int, struct tensor[], char *, size_t);
    void (*free)(void *);
    struct model *models;
};

int in_process_begin(struct in_process **in_process, struct failure *failure)
{
    *in_process = NULL;
    const char *where = getenv("PARSLFLOW_INFERENCE");
    if (where == NULL || where[0] == '\0' || strcmp(where, "store") == 0)
        return PF_OK;
    if (strcmp(where, "in-process") != 0)
        return failure_set(failure, PF_BAD_ARGUMENT,
                           "PARSLFLOW_INFERENCE must be store or in-process, not '%s'", where);
    const char *folder = getenv("PARSLFLOW_MODELS");
    const char *library = getenv("PARSLFLOW_LIBTORCH");
    if (folder == NULL || folder[0] == '\0')
        return failure_set(failure, PF_BAD_ARGUMENT,
                           "PARSLFLOW_INFERENCE is in-process, but PARSLFLOW_MODELS, the folder "
                           "of the models, is not set");
    if (library == NULL || library[0] == '\0')
        return failure_set(failure, PF_BAD_ARGUMENT,
                           "PARSLFLOW_INFERENCE is in-process, but PARSLFLOW_LIBTORCH, the path "
                           "of libparslflow_inference.so, is not set");
    struct in_process *made = calloc(1, sizeof *made);
    if (made != NULL) {
        made->folder = strdup(folder);
        made->library = strdup(library);
    }
    if (made == NULL || made->folder == NULL || made->library == NULL) {
        in_process_end(made);
        return failure_set_no_memory(failure);
    }
    *in_process = made;
    return PF_OK;
}

static int load_library(struct in_process *in_process, struct failure *failure)
{
    if (in_process->loaded != NULL)
        return PF_OK;
    void *library = dlopen(in_process->library, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return failure_set(failure, PF_BAD_ARGUMENT,
                           "the library that PARSLFLOW_LIBTORCH names cannot be loaded (%s); "
                           "build it with 'make -C fortran/client inference'",
                           dlerror());
    /* POSIX gives functions as objects; a union is how C lets us say so. */
    union {
        void *object;
        void *(*load)(const char *, char *, size_t);
        int (*run)(void *, int, const struct tensor[], int, struct tensor[], char *, size_t);
        void (*free)(void *);
    } load = {dlsym(library, "pf_inference_load")}, run = {dlsym(library, "pf_inference_run")},
      end = {dlsym(library, "pf_inference_free")};
    if (load.object == NULL || run.object == NULL || end.object == NULL) {
        dlclose(library);
        return failure_set(failure, PF_BAD_ARGUMENT,
                           "the library %s, which PARSLFLOW_LIBTORCH names, is not parslflow's",
                           in_process->library);
    }
    in_process->load = load.load;
    in_process->run = run.run;
    in_process->free = end.free;
    in_process->loaded = library;
    return PF_OK;
}

/* The model, which is loaded at the first call. */
static int find_model(struct in_process *in_process, const char *name, void **handle,
                      struct failure *failure)
{
    for (struct model *model = in_process->models; model != NULL; model = model->next)
        if (strcmp(model->name, name) == 0) {
            *handle = model->handle;
            return PF_OK;
        }
    char path[4096];
    char cause[512];
    snprintf(path, sizeof path, "%s/%s.script.pt", in_process->folder, name);
    if (access(path, R_OK) != 0)
        return failure_set(failure, PF_MISSING_KEY, "the file %s cannot be read", path);
    int error = load_library(in_process, failure);
    if (error != PF_OK)
        return error;
    *handle = in_process->load(path, cause, sizeof cause);
    if (*handle == NULL)
        return failure_set(failure, PF_INFERENCE, "%s is no TorchScript that can run (%s)", path,
                           cause);
    struct model *model = calloc(1, sizeof *model);
    if (model != NULL)
        model->name = strdup(name);
    if (model == NULL || model->name == NULL) {
        in_process->free(*handle);
        free(model);
        return failure_set_no_memory(failure);
    }
    model->handle = *handle;
    model->next = in_process->models;
    in_process->models = model;
    return PF_OK;
}

int in_process_infer(struct in_process *in_process, const char *name, int input_count,
                     const struct tensor inputs[], int output_count, struct tensor outputs[],
                     struct failure *failure)
{
    void *model = NULL;
    char cause[512];
    int error = find_model(in_process, name, &model, failure);
    if (error == PF_OK &&
        in_process->run(model, input_count, inputs, output_count, outputs, cause, sizeof cause) != 0)
        error = failure_set(failure, PF_INFERENCE, "the model failed (%s)", cause);
    return error;
}

void in_process_end(struct in_process *in_process)
{
    if (in_process == NULL)
        return;
    while (in_process->models != NULL) {
        struct model *model = in_process->models;
        in_process->models = model->next;
        in_process->free(model->handle);
        free(model->name);
        free(model);
    }
    /* The library stays: libtorch cannot be unloaded. */
    free(in_process->folder);
    free(in_process->library);
    free(in_process);
}
