/* The connection to one server: socket, TLS, password, and a round trip before the deadline. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#ifdef PARSLFLOW_TLS
#include <hiredis_ssl.h>
#endif

#define MOST_PIECES 64 /* given to the kernel at a time */

double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void connection_close(struct node *node)
{
    redisFree(node->redis);
    node->redis = NULL;
}

static int lost(struct pf_client *client, struct node *node, const char *cause)
{
    int error = failure_set(&client->failure, PF_CONNECTION,
                            "the connection was lost (%s); the server may have stopped", cause);
    connection_close(node);
    return error;
}

/* Waits until the socket can be read or written. */
static int wait_for(struct pf_client *client, struct node *node, short events)
{
    struct pollfd socket = {.fd = node->redis->fd, .events = events};
    for (;;) {
        double left = client->deadline - now();
        int ready = poll(&socket, 1, left > 0 ? (int)(1e3 * left) + 1 : 0);
        if (ready > 0)
            return PF_OK;
        if (ready < 0 && errno != EINTR)
            return lost(client, node, strerror(errno));
        if (ready == 0 && left <= 0) {
            int error = failure_set(&client->failure, PF_TIMEOUT,
                                    "no answer within %g s, so it is unknown whether it was done; "
                                    "the server is busy or has stopped",
                                    client->time_limit);
            connection_close(node);
            return error;
        }
    }
}

static const char *piece_bytes(const struct request *request, const struct piece *piece)
{
    return piece->bytes != NULL ? piece->bytes : request->text + piece->offset;
}

#ifdef PARSLFLOW_TLS
/* hiredis encrypts what lies in its own buffer. */
static int send_encrypted(struct pf_client *client, struct node *node,
                          const struct request *request)
{
    for (size_t i = 0; i < request->piece_count; ++i) {
        const struct piece *piece = &request->pieces[i];
        if (redisAppendFormattedCommand(node->redis, piece_bytes(request, piece), piece->length) !=
            REDIS_OK)
            return lost(client, node, node->redis->errstr);
    }
    int done = 0;
    for (;;) {
        if (redisBufferWrite(node->redis, &done) != REDIS_OK)
            return lost(client, node, node->redis->errstr);
        if (done)
            return PF_OK;
        int error = wait_for(client, node, POLLOUT);
        if (error != PF_OK)
            return error;
    }
}
#endif

/* The connection ended while the request was sent: the server may have said why before. */
static int refused(struct pf_client *client, struct node *node, const char *cause)
{
    void *found = NULL;
    if (redisBufferRead(node->redis) == REDIS_OK &&
        redisGetReplyFromReader(node->redis, &found) == REDIS_OK && found != NULL) {
        const redisReply *reply = found;
        if (reply->type == REDIS_REPLY_ERROR) {
            failure_set(&client->failure, PF_SERVER, "the server answered '%s'", reply->str);
            freeReplyObject(found);
            connection_close(node);
            return PF_SERVER;
        }
        freeReplyObject(found);
    }
    return lost(client, node, cause);
}

/* Gives the pieces to the kernel where they lie. */
static int send_request(struct pf_client *client, struct node *node, const struct request *request)
{
#ifdef PARSLFLOW_TLS
    if (client->tls != NULL)
        return send_encrypted(client, node, request);
#endif
    size_t at = 0;   /* first piece that is not sent whole */
    size_t sent = 0; /* bytes of it that are sent */
    while (at < request->piece_count) {
        struct iovec vector[MOST_PIECES];
        struct msghdr message = {.msg_iov = vector};
        for (size_t i = at; i < request->piece_count && message.msg_iovlen < MOST_PIECES; ++i) {
            const struct piece *piece = &request->pieces[i];
            size_t skipped = i == at ? sent : 0;
            vector[message.msg_iovlen++] =
                (struct iovec){(char *)piece_bytes(request, piece) + skipped,
                               piece->length - skipped};
        }
        /* No signal, which would end the program, when the server is gone. */
        ssize_t taken = sendmsg(node->redis->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (taken >= 0) {
            sent += (size_t)taken;
            while (at < request->piece_count && sent >= request->pieces[at].length)
                sent -= request->pieces[at++].length;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            int error = wait_for(client, node, POLLOUT);
            if (error != PF_OK)
                return error;
        } else if (errno != EINTR) {
            return refused(client, node, strerror(errno));
        }
    }
    return PF_OK;
}

static int read_reply(struct pf_client *client, struct node *node, redisReply **reply)
{
    void *found = NULL;
    for (;;) {
        if (redisGetReplyFromReader(node->redis, &found) != REDIS_OK)
            return lost(client, node, node->redis->errstr);
        if (found != NULL) {
            *reply = found;
            return PF_OK;
        }
        int error = wait_for(client, node, POLLIN);
        if (error != PF_OK)
            return error;
        if (redisBufferRead(node->redis) != REDIS_OK)
            return lost(client, node, node->redis->errstr);
    }
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* What an error says of the request: nothing was done for the time being, or PF_SERVER. A
 * transaction that is given up repeats the word of the command that was refused. */
static int kind_of(const char *error)
{
    bool quotes = begins_with(error, "EXECABORT") || begins_with(error, "ERR Error running script");
    if (begins_with(error, "OOM") || (quotes && strstr(error, "OOM command not allowed") != NULL))
        return PF_STORE_FULL;
    if (begins_with(error, "MOVED"))
        return MOVED;
    if (begins_with(error, "LOADING") || begins_with(error, "CLUSTERDOWN") ||
        begins_with(error, "TRYAGAIN") || begins_with(error, "MASTERDOWN") ||
        begins_with(error, "ASK "))
        return NOT_READY;
    return PF_SERVER;
}

static const redisReply *first_error(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return reply;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; ++i) {
        const redisReply *error = first_error(reply->element[i]);
        if (error != NULL)
            return error;
    }
    return NULL;
}

int connection_exchange(struct pf_client *client, struct node *node, struct request *request)
{
    if (request->incomplete)
        return failure_set_no_memory(&client->failure);
    request_free_replies(request);
    request->replies = calloc((size_t)request->count, sizeof *request->replies);
    if (request->replies == NULL)
        return failure_set_no_memory(&client->failure);
    int error = send_request(client, node, request);
    int verdict = PF_OK;
    for (int i = 0; i < request->count && error == PF_OK; ++i) {
        error = read_reply(client, node, &request->replies[i]);
        if (error != PF_OK)
            break;
        const redisReply *refusal = first_error(request->replies[i]);
        if (refusal == NULL)
            continue;
        int kind = kind_of(refusal->str);
        if (verdict == PF_OK)
            failure_set(&client->failure, PF_SERVER, "the server answered '%.*s'",
                        (int)strcspn(refusal->str, "\r\n"), refusal->str);
        if (verdict == PF_OK || kind != PF_SERVER)
            verdict = kind;
    }
    return error != PF_OK ? error : verdict;
}

/* Has the socket in the TLS session that the client's CA vouches for. */
static int encrypt(struct pf_client *client, struct node *node)
{
#ifdef PARSLFLOW_TLS
    if (client->tls != NULL && redisInitiateSSLWithContext(node->redis, client->tls) != REDIS_OK) {
        int error = failure_set(&client->failure, PF_CONNECTION,
                                "there is no TLS session (%s); the server may not speak TLS, or "
                                "the file that PARSLFLOW_STORE_CA_FILE names is not of its CA",
                                node->redis->errstr);
        connection_close(node);
        return error;
    }
#endif
    (void)client;
    (void)node;
    return PF_OK;
}

/* Opens the socket. */
static int open_socket(struct pf_client *client, struct node *node)
{
    double left = client->deadline - now();
    if (left < 1e-3)
        left = 1e-3;
    time_t seconds = (time_t)left;
    struct timeval limit = {seconds, (suseconds_t)(1e6 * (left - (double)seconds))};
    if (node->port == 0)
        node->redis = redisConnectUnixWithTimeout(node->host, limit);
    else
        node->redis = redisConnectWithTimeout(node->host, node->port, limit);
    if (node->redis == NULL)
        return failure_set_no_memory(&client->failure);
    if (node->redis->err == 0)
        redisSetTimeout(node->redis, limit); /* of the TLS handshake */
    if (node->redis->err != 0) {
        int error = failure_set(&client->failure, PF_CONNECTION,
                                "%s; the server may not be running", node->redis->errstr);
        connection_close(node);
        return error;
    }
    int error = encrypt(client, node);
    if (error != PF_OK)
        return error;
    /* From here on poll waits, until the deadline of each call. */
    fcntl(node->redis->fd, F_SETFL, fcntl(node->redis->fd, F_GETFL) | O_NONBLOCK);
    node->redis->flags &= ~REDIS_BLOCK;
    return PF_OK;
}

/* Sends the password in the file, if there is one to send. */
static int authenticate(struct pf_client *client, struct node *node)
{
    const char *path = getenv("PARSLFLOW_STORE_PASSWORD_FILE");
    const char *user = getenv("PARSLFLOW_STORE_USER");
    bool named = user != NULL && user[0] != '\0';
    if (path == NULL || path[0] == '\0')
        return named ? failure_set(&client->failure, PF_BAD_ARGUMENT,
                                   "PARSLFLOW_STORE_USER is set, but not "
                                   "PARSLFLOW_STORE_PASSWORD_FILE, the file of the user's password")
                     : PF_OK;
    char password[1024];
    FILE *file = fopen(path, "r");
    bool read = file != NULL && fgets(password, sizeof password, file) != NULL;
    if (file != NULL)
        fclose(file);
    if (!read)
        return failure_set(&client->failure, PF_BAD_ARGUMENT,
                           "no password could be read from %s, which "
                           "PARSLFLOW_STORE_PASSWORD_FILE names",
                           path);
    password[strcspn(password, "\r\n")] = '\0';
    struct request request = {0};
    if (named)
        request_add(&request, "AUTH", user, password, NULL);
    else
        request_add(&request, "AUTH", password, NULL);
    int error = connection_exchange(client, node, &request);
    request_free(&request);
    if (error == PF_SERVER)
        return failure_set(&client->failure, PF_SERVER,
                           "the server refused the password in %s%s%s; "
                           "it may be that of another server",
                           path, named ? " for user " : "", named ? user : "");
    return error;
}

static int ping(struct pf_client *client, struct node *node)
{
    struct request request = {0};
    request_add(&request, "PING", NULL);
    int error = connection_exchange(client, node, &request);
    request_free(&request);
    if (error == PF_SERVER && strstr(client->failure.message, "NOAUTH") != NULL)
        return failure_set(&client->failure, PF_SERVER,
                           "the server asks for a password; set PARSLFLOW_STORE_PASSWORD_FILE to "
                           "the file that holds it");
    if (error == NOT_READY || error == PF_SERVER)
        return PF_OK; /* it is there: what it thinks of the call, it says to the call */
    return error;
}

int connection_open(struct pf_client *client, struct node *node)
{
    if (node->redis != NULL)
        return PF_OK;
    int error = open_socket(client, node);
    if (error == PF_OK)
        error = authenticate(client, node);
    if (error == PF_OK)
        error = ping(client, node);
    if (error != PF_OK && node->redis != NULL)
        connection_close(node);
    return error;
}
