/* One call: sent until it is done, within the time limit, over lost connections and full stores. */
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_WAIT 0.01  /* s, before a request is sent again; doubles */
#define LONGEST_WAIT 0.5 /* s */
#define QUIET 60.0       /* s, between two waits that are told */
#define THIS_NODE -1     /* in place of a slot, for keys that were made for the node */

int client_begin(struct pf_client *client, const char *format, ...)
{
    if (client == NULL)
        return PF_CONNECTION;
    va_list arguments;
    va_start(arguments, format);
    char task[sizeof client->failure.task];
    vsnprintf(task, sizeof task, format, arguments);
    va_end(arguments);
    failure_begin(&client->failure, "%s", task);
    client->deadline = now() + client->time_limit;
    if (client->node_count > 0)
        return PF_OK;
    if (client->in_process != NULL)
        return failure_set(&client->failure, PF_CONNECTION,
                           "there is no store, since SSDB is not set; with "
                           "PARSLFLOW_INFERENCE=in-process a program without one can only infer");
    return failure_set(&client->failure, PF_CONNECTION, "not connected; connect first");
}

int client_slot(const struct pf_client *client, const struct prefix *keyspace, const char *key)
{
    return client->clustered ? (int)cluster_slot(keyspace, key) : 0;
}

static int node_of_slot(const struct pf_client *client, int slot)
{
    return client->clustered ? client->node_of_slot[slot] : 0;
}

static void sleep_for(double seconds)
{
    struct timespec left = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* Whether this rank speaks for those of its machine: many that wait say the same. */
static bool speaks(void)
{
    static const char *const variables[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID",
                                            "PALS_LOCAL_RANKID", "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; ++i) {
        const char *rank = getenv(variables[i]);
        if (rank != NULL)
            return strcmp(rank, "0") == 0;
    }
    return true;
}

/* Says on stderr that the simulation waits for the store; whether it did. */
static bool tell_wait(struct pf_client *client)
{
    if (!speaks() || (client->told > 0 && now() - client->told < QUIET))
        return false;
    client->told = now();
    fprintf(stderr,
            "parslflow: the store is out of memory, so this rank waits to %s%s, "
            "up to %g s.\n",
            client->failure.task, client->failure.place, client->time_limit);
    return true;
}

/* Connects to the node if need be; a node of a cluster that is gone may have been replaced. */
static int reach(struct pf_client *client, int slot, int *node)
{
    int error = PF_CONNECTION;
    if (*node >= 0)
        error = connection_open(client, &client->nodes[*node]);
    if (!client->clustered || slot == THIS_NODE || error == PF_OK)
        return error;
    error = cluster_discover(client);
    if (error != PF_OK)
        return error;
    *node = node_of_slot(client, slot);
    if (*node < 0) {
        failure_set(&client->failure, PF_SERVER, "no server of the cluster has its slot");
        return NOT_READY;
    }
    return connection_open(client, &client->nodes[*node]);
}

/* Ends a call whose time is up while it waits; why: what the last try came to. */
static int give_up(struct pf_client *client, int why)
{
    if (why == PF_STORE_FULL)
        return failure_set(&client->failure, PF_STORE_FULL,
                           "it was out of memory for %g s; nothing takes data from it, or its "
                           "memory is too small",
                           client->time_limit);
    if (why == PF_CONNECTION)
        return failure_set(&client->failure, PF_CONNECTION,
                           "the connection was lost and could not be made again within %g s; the "
                           "server may have stopped",
                           client->time_limit);
    return PF_SERVER; /* with the message of the last try */
}

static int call(struct pf_client *client, struct request *request, int slot, int node)
{
    if (request->incomplete)
        return failure_set_no_memory(&client->failure);
    double wait = FIRST_WAIT;
    bool told = false;
    bool full = false;
    int error;
    for (;;) {
        error = reach(client, slot, &node);
        bool sent = error == PF_OK;
        if (sent)
            error = connection_exchange(client, &client->nodes[node], request);
        if (error == MOVED && slot == THIS_NODE)
            error = PF_SERVER;
        else if (error == MOVED)
            node = -1; /* so that the next try asks who has it */
        bool again = error == PF_STORE_FULL || error < 0 ||
                     (error == PF_CONNECTION && !(sent && request->once));
        if (!again)
            break;
        if (error == PF_STORE_FULL && !full)
            told = tell_wait(client);
        full = full || error == PF_STORE_FULL;
        if (now() + wait > client->deadline) {
            error = give_up(client, error);
            break;
        }
        sleep_for(wait);
        wait = 2 * wait < LONGEST_WAIT ? 2 * wait : LONGEST_WAIT;
    }
    if (error == PF_OK)
        client->failure.message[0] = '\0'; /* of an earlier try */
    if (told && error == PF_OK)
        fprintf(stderr, "parslflow: the store has room again, so this rank goes on.\n");
    return error;
}

int client_call(struct pf_client *client, struct request *request, int slot)
{
    return call(client, request, slot, node_of_slot(client, slot));
}

int client_call_node(struct pf_client *client, struct request *request, int node)
{
    return call(client, request, THIS_NODE, node);
}

int client_do(struct pf_client *client, struct request *request, int slot)
{
    int error = client_call(client, request, slot);
    request_free(request);
    return error;
}

static int find(struct pf_client *client, const struct prefix *prefix, const char *key, int slot,
                int node, int *found)
{
    struct request request = {0};
    request_begin(&request, 2);
    request_text(&request, "EXISTS");
    request_key(&request, prefix, key);
    int error = call(client, &request, slot, node);
    *found = error == PF_OK && request_reply(&request, -1)->integer > 0;
    request_free(&request);
    return error;
}

int client_find(struct pf_client *client, const struct prefix *keyspace, const char *key,
                int *found)
{
    int slot = client_slot(client, keyspace, key);
    return find(client, keyspace, key, slot, node_of_slot(client, slot), found);
}

/* What PF_SERVER means, after a look for the key: its result, and whether it was found. */
static int explain(struct pf_client *client, const struct failure *refusal, int error, bool found,
                   const char *keyspace, const char *key)
{
    if (error == PF_OK && !found)
        return failure_set(&client->failure, PF_MISSING_KEY, "there is no key '%s%s'", keyspace,
                           key);
    if (error == PF_OK || error == PF_SERVER) {
        client->failure = *refusal;
        error = PF_SERVER;
    }
    return error;
}

int client_explain(struct pf_client *client, const struct prefix *keyspace, const char *key)
{
    struct failure refusal = client->failure;
    int found;
    int error = client_find(client, keyspace, key, &found);
    return explain(client, &refusal, error, found, keyspace->bytes, key);
}

int client_explain_node(struct pf_client *client, const struct prefix *prefix, const char *key,
                        int node)
{
    struct failure refusal = client->failure;
    int found;
    int error = find(client, prefix, key, THIS_NODE, node, &found);
    return explain(client, &refusal, error, found, "", key);
}
