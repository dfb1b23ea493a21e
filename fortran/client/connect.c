/* Connecting as the environment says. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>
#ifdef PARSLFLOW_TLS
#include <hiredis_ssl.h>
#endif

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static void close_all(struct pf_client *client)
{
    for (int i = 0; i < client->node_count; ++i)
        connection_close(&client->nodes[i]);
    free(client->nodes);
    client->nodes = NULL;
    client->node_count = 0;
    free(client->node_of_slot);
    client->node_of_slot = NULL;
#ifdef PARSLFLOW_TLS
    if (client->tls != NULL)
        redisFreeSSLContext(client->tls);
#endif
    client->tls = NULL;
    free(client->sources);
    client->sources = NULL;
    in_process_end(client->in_process);
    client->in_process = NULL;
}

/* Reads unix://path or host:port. */
static int read_address(struct pf_client *client, const char *address, struct node *node)
{
    *node = (struct node){0};
    if (strncmp(address, "unix://", 7) == 0) {
        if (strlen(address + 7) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
            return failure_set(&client->failure, PF_BAD_ARGUMENT,
                               "the path of the socket in SSDB is longer than 107 characters");
        snprintf(node->host, sizeof node->host, "%s", address + 7);
        return PF_OK;
    }
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    long port = colon == NULL ? 0 : strtol(colon + 1, &end, 10);
    if (port < 1 || port > 65535 || *end != '\0' ||
        (size_t)(colon - address) >= sizeof node->host)
        return failure_set(&client->failure, PF_BAD_ARGUMENT,
                           "SSDB must be unix://path or host:port, with a port up to 65535");
    memcpy(node->host, address, (size_t)(colon - address));
    node->port = (int)port;
    return PF_OK;
}

/* Fills the nodes from SSDB: the first address, or all that are given of a cluster. */
static int read_addresses(struct pf_client *client, const char *addresses)
{
    if (strlen(addresses) >= sizeof client->address)
        return failure_set(&client->failure, PF_BAD_ARGUMENT, "the address in SSDB is too long");
    strcpy(client->address, addresses);
    if (!client->clustered)
        client->address[strcspn(client->address, ",")] = '\0';
    snprintf(client->failure.place, sizeof client->failure.place, " (store %.280s)",
             client->address);
    char left[sizeof client->address];
    strcpy(left, client->address);
    int count = 0;
    struct node nodes[64];
    char *rest = NULL;
    for (char *word = strtok_r(left, ",", &rest); word != NULL && count < 64;
         word = strtok_r(NULL, ",", &rest)) {
        int error = read_address(client, word, &nodes[count++]);
        if (error != PF_OK)
            return error;
    }
    client->nodes = malloc(sizeof nodes);
    if (client->nodes == NULL)
        return failure_set_no_memory(&client->failure);
    memcpy(client->nodes, nodes, (size_t)count * sizeof *nodes);
    client->node_count = count;
    return PF_OK;
}

static int read_kind(struct pf_client *client)
{
    const char *kind = variable("SR_DB_TYPE");
    client->clustered = kind != NULL && strcmp(kind, "Clustered") == 0;
    if (kind != NULL && !client->clustered && strcmp(kind, "Standalone") != 0)
        return failure_set(&client->failure, PF_BAD_ARGUMENT,
                           "SR_DB_TYPE must be Standalone or Clustered, not '%s'", kind);
    return PF_OK;
}

static int prepare_tls(struct pf_client *client)
{
    const char *path = variable("PARSLFLOW_STORE_CA_FILE");
    if (path == NULL)
        return PF_OK;
#ifdef PARSLFLOW_TLS
    redisSSLContextError cause = REDIS_SSL_CTX_NONE;
    redisInitOpenSSL();
    client->tls = redisCreateSSLContext(path, NULL, NULL, NULL, NULL, &cause);
    if (client->tls == NULL)
        return failure_set(&client->failure, PF_BAD_ARGUMENT,
                           "%s, which PARSLFLOW_STORE_CA_FILE names, is of no use (%s)", path,
                           redisSSLContextGetError(cause));
    return PF_OK;
#else
    return failure_set(&client->failure, PF_BAD_ARGUMENT,
                       "PARSLFLOW_STORE_CA_FILE asks for TLS, but this client was built with a "
                       "hiredis that has none; build it where 'pkg-config hiredis_ssl' is found");
#endif
}

/* A name that no other client has, for keys of this client's own. */
static int choose_id(struct pf_client *client)
{
    unsigned long long id = 0;
    if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id)
        return failure_set(&client->failure, PF_CONNECTION, "the system has no random numbers");
    snprintf(client->id, sizeof client->id, "%016llx", id);
    client->appends = 0;
    return PF_OK;
}

int pf_connect(struct pf_client **handle, double time_limit)
{
    if (*handle == NULL)
        *handle = calloc(1, sizeof **handle);
    struct pf_client *client = *handle;
    if (client == NULL)
        return PF_NO_MEMORY;
    close_all(client);
    failure_begin(&client->failure, "connect");
    client->failure.place[0] = '\0';
    client->time_limit = time_limit;
    if (!(time_limit > 0 && time_limit <= 1e6))
        return failure_set(&client->failure, PF_BAD_ARGUMENT,
                           "the time limit must lie between 0 and 1e6 s, not %g s", time_limit);
    client->deadline = now() + time_limit;
    int error = in_process_begin(&client->in_process, &client->failure);
    if (error != PF_OK)
        return error;
    const char *addresses = variable("SSDB");
    if (addresses == NULL && client->in_process != NULL)
        return PF_OK;
    if (addresses == NULL)
        return failure_set(&client->failure, PF_BAD_ARGUMENT,
                           "the environment variable SSDB is not set; it must hold the store's "
                           "address, unix://path or host:port");
    error = read_kind(client);
    if (error == PF_OK)
        error = read_addresses(client, addresses);
    if (error == PF_OK)
        error = prepare_tls(client);
    if (error == PF_OK)
        error = choose_id(client);
    if (error == PF_OK)
        error = keyspaces_begin(client);
    if (error == PF_OK)
        error = client->clustered ? cluster_discover(client)
                                  : connection_open(client, &client->nodes[0]);
    if (error < 0)
        error = failure_set(&client->failure, PF_SERVER, "the cluster has no slots yet");
    if (error != PF_OK)
        close_all(client);
    else
        client->failure.message[0] = '\0'; /* of a server that was passed over */
    return error;
}

void pf_disconnect(struct pf_client *client)
{
    if (client == NULL)
        return;
    close_all(client);
    free(client);
}

const char *pf_client_message(const struct pf_client *client)
{
    return client == NULL ? "The store client is not connected: connect first."
                          : client->failure.message;
}
