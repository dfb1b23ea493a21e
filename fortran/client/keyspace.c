/* Keyspaces: what the keys of tensors, data sets and lists begin with, as the environment says. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Among them no brace, which would begin a hash tag, and no comma, which divides names. */
#define CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* The prefix of the keyspace whose name is the first so many characters. */
static int make_prefix(struct prefix *prefix, const char *name, size_t length,
                       const char *variable, struct failure *failure)
{
    *prefix = (struct prefix){0};
    if (length == 0)
        return PF_OK;
    if (length > LONGEST_KEYSPACE || strspn(name, CHARACTERS) < length)
        return failure_set(failure, PF_BAD_ARGUMENT,
                           "%s names the keyspace '%.*s', but the names of keyspaces have letters, "
                           "digits and . _ - only, %d at most",
                           variable, (int)length, name, LONGEST_KEYSPACE);
    memcpy(prefix->bytes, name, length);
    prefix->bytes[length] = '.';
    prefix->length = length + 1;
    return PF_OK;
}

/* The next name of those divided by commas, of *length characters; NULL after the last. */
static const char *next_name(const char *names, size_t *length)
{
    names += strspn(names, ",");
    *length = strcspn(names, ",");
    return *length > 0 ? names : NULL;
}

int keyspaces_begin(struct pf_client *client)
{
    const char *sources = getenv("SSKEYIN");
    const char *target = getenv("SSKEYOUT");
    client->source = (struct prefix){0};
    client->sources = strdup(sources == NULL ? "" : sources);
    if (client->sources == NULL)
        return failure_set_no_memory(&client->failure);
    if (target == NULL)
        target = "";
    int error =
        make_prefix(&client->target, target, strlen(target), "SSKEYOUT", &client->failure);
    size_t length;
    for (const char *name = next_name(client->sources, &length); name != NULL && error == PF_OK;
         name = next_name(name + length, &length)) {
        struct prefix source;
        error = make_prefix(&source, name, length, "SSKEYIN", &client->failure);
        if (client->source.length == 0)
            client->source = source;
    }
    return error;
}

int pf_set_data_source(struct pf_client *client, const char *source)
{
    int error = client_begin(client, "read from the keyspace '%s'", source);
    if (error != PF_OK)
        return error;
    size_t length;
    for (const char *name = next_name(client->sources, &length); name != NULL;
         name = next_name(name + length, &length))
        if (length == strlen(source) && memcmp(name, source, length) == 0)
            return make_prefix(&client->source, name, length, "SSKEYIN", &client->failure);
    return failure_set(&client->failure, PF_BAD_ARGUMENT,
                       "it is not in SSKEYIN, which was '%.200s' when the client connected; add it "
                       "there",
                       client->sources);
}
