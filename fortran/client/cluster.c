/* Redis Cluster: which server has a key, and keys that lie on a server that was chosen. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 16384
#define POLYNOMIAL 0x11021ull /* x^16 + x^12 + x^5 + 1 */

static unsigned add_to_remainder(unsigned remainder, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; ++i) {
        remainder ^= (unsigned)(unsigned char)bytes[i] << 8;
        for (int bit = 0; bit < 8; ++bit)
            remainder = remainder & 0x8000 ? (remainder << 1) ^ POLYNOMIAL : remainder << 1;
    }
    return remainder;
}

unsigned cluster_slot(const struct prefix *keyspace, const char *key)
{
    size_t before = keyspace->length;
    size_t length = strlen(key);
    /* What stands between the first brace and the next closing one, if anything, is what counts. */
    const char *open = memchr(key, '{', length);
    if (open != NULL) {
        const char *close = memchr(open, '}', length - (size_t)(open - key));
        if (close != NULL && close > open + 1) {
            length = (size_t)(close - open) - 1;
            key = open + 1;
            before = 0;
        }
    }
    unsigned remainder = add_to_remainder(0, keyspace->bytes, before);
    return add_to_remainder(remainder, key, length) % SLOTS;
}

/* The tag by which stock clients find a server's models. The CRC is solved backwards: adding the
 * polynomial at each set bit clears the low 16 bits, and the bits above are bytes that leave the slot
 * as remainder. While a brace is among them, they go on at the next bit. */
static struct prefix prefix_of_slot(unsigned slot)
{
    unsigned long long solution = slot;
    for (size_t bit = 0;; ++bit) {
        size_t count = (bit + 7) / 8;
        struct prefix prefix = {.length = 1};
        prefix.bytes[0] = '{';
        for (size_t i = count; i > 0; --i)
            prefix.bytes[prefix.length++] = (char)(solution >> (8 * (i + 1)));
        if (bit >= 16 && memchr(prefix.bytes + 1, '{', count) == NULL &&
            memchr(prefix.bytes + 1, '}', count) == NULL) {
            prefix.bytes[prefix.length++] = '}';
            prefix.bytes[prefix.length++] = '.';
            return prefix;
        }
        if (solution >> bit & 1)
            solution ^= POLYNOMIAL << bit;
    }
}

struct prefix cluster_prefix(const struct pf_client *client, int node)
{
    for (unsigned slot = 0; client->clustered && slot < SLOTS; ++slot)
        if (client->node_of_slot[slot] == node)
            return prefix_of_slot(slot);
    return (struct prefix){0};
}

struct prefix cluster_prefix_of_key(const struct pf_client *client, const struct prefix *keyspace,
                                    const char *key)
{
    if (!client->clustered)
        return (struct prefix){0};
    return prefix_of_slot(cluster_slot(keyspace, key));
}

/* The index of the server at host and port, which is added if it is new; -1 without memory. */
static int find_node(struct pf_client *client, const char *host, int port)
{
    for (int i = 0; i < client->node_count; ++i)
        if (client->nodes[i].port == port && strcmp(client->nodes[i].host, host) == 0)
            return i;
    struct node *nodes =
        realloc(client->nodes, ((size_t)client->node_count + 1) * sizeof *client->nodes);
    if (nodes == NULL)
        return -1;
    client->nodes = nodes;
    struct node *node = &nodes[client->node_count];
    *node = (struct node){.port = port};
    snprintf(node->host, sizeof node->host, "%s", host);
    return client->node_count++;
}

/* Reads one range of the answer: first slot, last slot, [host, port, …] of who serves it, … */
static int read_range(struct pf_client *client, const redisReply *range, const char *asked)
{
    const redisReply *server =
        range->type == REDIS_REPLY_ARRAY && range->elements >= 3 ? range->element[2] : NULL;
    if (server == NULL || server->type != REDIS_REPLY_ARRAY || server->elements < 2 ||
        range->element[0]->integer < 0 || range->element[1]->integer >= SLOTS)
        return failure_set(&client->failure, PF_SERVER, "its CLUSTER SLOTS cannot be read");
    /* A server that does not know its own address leaves it out: it is the one we asked. */
    const redisReply *host = server->element[0];
    bool named = host->type == REDIS_REPLY_STRING && host->len > 0;
    int node = find_node(client, named ? host->str : asked, (int)server->element[1]->integer);
    if (node < 0)
        return failure_set_no_memory(&client->failure);
    for (long long slot = range->element[0]->integer; slot <= range->element[1]->integer; ++slot)
        client->node_of_slot[slot] = (short)node;
    return PF_OK;
}

/* Asks one server. */
static int ask(struct pf_client *client, int node)
{
    int error = connection_open(client, &client->nodes[node]);
    if (error != PF_OK)
        return error;
    struct request request = {0};
    request_add(&request, "CLUSTER", "SLOTS", NULL);
    error = connection_exchange(client, &client->nodes[node], &request);
    const redisReply *answer = error == PF_OK ? request_reply(&request, -1) : NULL;
    if (error == PF_SERVER)
        error = failure_set(&client->failure, PF_BAD_ARGUMENT,
                            "it is no cluster; set SR_DB_TYPE to Standalone");
    else if (answer != NULL && (answer->type != REDIS_REPLY_ARRAY || answer->elements == 0))
        error = NOT_READY;
    if (error == PF_OK) {
        char host[sizeof client->nodes->host];
        memcpy(host, client->nodes[node].host, sizeof host);
        for (int slot = 0; slot < SLOTS; ++slot)
            client->node_of_slot[slot] = -1;
        for (size_t i = 0; i < answer->elements && error == PF_OK; ++i)
            error = read_range(client, answer->element[i], host);
    }
    request_free(&request);
    return error;
}

int cluster_discover(struct pf_client *client)
{
    if (client->node_of_slot == NULL) {
        client->node_of_slot = malloc(SLOTS * sizeof *client->node_of_slot);
        if (client->node_of_slot == NULL)
            return failure_set_no_memory(&client->failure);
    }
    int error = PF_CONNECTION;
    int known = client->node_count;
    for (int node = 0; node < known; ++node) {
        error = ask(client, node);
        if (error != PF_CONNECTION && error != PF_TIMEOUT)
            return error;
    }
    return error;
}
