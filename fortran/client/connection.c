/* The connection to the store: address, password, and one round trip within the time limit. */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define FIRST_WAIT 0.01  /* s, before a request is sent again to a server out of memory; doubles */
#define LONGEST_WAIT 0.5 /* s */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void drop(struct pf_client *client)
{
    redisFree(client->redis);
    client->redis = NULL;
}

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
    if (client->redis == NULL)
        return failure_set(&client->failure, PF_CONNECTION, "not connected; connect first");
    return PF_OK;
}

static int lost(struct pf_client *client, const char *cause)
{
    int error = failure_set(&client->failure, PF_CONNECTION,
                            "the connection was lost (%s); the server may have stopped", cause);
    drop(client);
    return error;
}

/* Waits until the socket can be read or written. */
static int wait_for(struct pf_client *client, short events, double deadline)
{
    struct pollfd socket = {.fd = client->redis->fd, .events = events};
    for (;;) {
        double left = deadline - now();
        int ready = poll(&socket, 1, left > 0 ? (int)(1e3 * left) + 1 : 0);
        if (ready > 0)
            return PF_OK;
        if (ready < 0 && errno != EINTR)
            return lost(client, strerror(errno));
        if (ready == 0 && left <= 0) {
            int error = failure_set(&client->failure, PF_TIMEOUT,
                                    "no answer within %g s, so it is unknown whether it was done; "
                                    "the server is busy or has stopped",
                                    client->time_limit);
            drop(client);
            return error;
        }
    }
}

static int send_request(struct pf_client *client, const struct request *request, double deadline)
{
    for (size_t i = 0; i < request->count; ++i) {
        struct command command = request->commands[i];
        /* No signal, which would end the program, when the server is gone; and commands of one
         * request share packets. */
        int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (i + 1 < request->count ? MSG_MORE : 0);
        while (command.length > 0) {
            ssize_t sent = send(client->redis->fd, command.text, command.length, flags);
            if (sent >= 0) {
                command.text += sent;
                command.length -= (size_t)sent;
            } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                int error = wait_for(client, POLLOUT, deadline);
                if (error != PF_OK)
                    return error;
            } else if (errno != EINTR) {
                return lost(client, strerror(errno));
            }
        }
    }
    return PF_OK;
}

static int read_reply(struct pf_client *client, redisReply **reply, double deadline)
{
    void *found = NULL;
    for (;;) {
        if (redisGetReplyFromReader(client->redis, &found) != REDIS_OK)
            return lost(client, client->redis->errstr);
        if (found != NULL) {
            *reply = found;
            return PF_OK;
        }
        int error = wait_for(client, POLLIN, deadline);
        if (error != PF_OK)
            return error;
        if (redisBufferRead(client->redis) != REDIS_OK)
            return lost(client, client->redis->errstr);
    }
}

/* Whether the server turned away the command, or its whole transaction, for lack of memory. */
static bool is_out_of_memory(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR &&
           (strncmp(reply->str, "OOM", 3) == 0 ||
            (strncmp(reply->str, "EXECABORT", 9) == 0 && strstr(reply->str, "OOM") != NULL));
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

/* One round trip. Gives the answer to the last command, or PF_SERVER, or PF_STORE_FULL. */
static int exchange(struct pf_client *client, const struct request *request, redisReply **answer)
{
    double deadline = now() + client->time_limit;
    int error = send_request(client, request, deadline);
    if (error != PF_OK)
        return error;
    int verdict = PF_OK;
    for (size_t i = 0; i < request->count; ++i) {
        redisReply *reply = NULL;
        error = read_reply(client, &reply, deadline);
        if (error != PF_OK)
            return error;
        const redisReply *refusal = first_error(reply);
        if (is_out_of_memory(reply)) {
            verdict = PF_STORE_FULL;
        } else if (refusal != NULL && verdict == PF_OK) {
            verdict = failure_set(&client->failure, PF_SERVER, "the server answered '%.*s'",
                                  (int)strcspn(refusal->str, "\r\n"), refusal->str);
        }
        if (i + 1 == request->count && verdict == PF_OK)
            *answer = reply;
        else
            freeReplyObject(reply);
    }
    return verdict;
}

static void sleep_for(double seconds)
{
    struct timespec left = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

int client_call(struct pf_client *client, struct request *request, redisReply **answer)
{
    *answer = NULL;
    int error = PF_OK;
    if (request->incomplete)
        error = failure_set_no_memory(&client->failure);
    double deadline = now() + client->time_limit;
    double wait = FIRST_WAIT;
    while (error == PF_OK) {
        error = exchange(client, request, answer);
        if (error != PF_STORE_FULL)
            break;
        if (now() + wait > deadline) {
            failure_set(&client->failure, PF_STORE_FULL,
                        "it was out of memory for %g s; nothing takes data from it, or its memory "
                        "is too small",
                        client->time_limit);
            break;
        }
        sleep_for(wait);
        wait = 2 * wait < LONGEST_WAIT ? 2 * wait : LONGEST_WAIT;
        error = PF_OK;
    }
    request_free(request);
    return error;
}

/* Opens the socket at client->address. */
static int open_socket(struct pf_client *client)
{
    time_t seconds = (time_t)client->time_limit;
    struct timeval limit = {seconds, (suseconds_t)(1e6 * (client->time_limit - (double)seconds))};
    if (strncmp(client->address, "unix://", 7) == 0) {
        const char *path = client->address + 7;
        if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
            return failure_set(&client->failure, PF_BAD_ARGUMENT,
                               "the path of the socket in SSDB is longer than 107 characters");
        client->redis = redisConnectUnixWithTimeout(path, limit);
    } else {
        char host[sizeof client->address];
        strcpy(host, client->address);
        char *colon = strrchr(host, ':');
        char *end = NULL;
        long port = colon == NULL ? 0 : strtol(colon + 1, &end, 10);
        if (port < 1 || port > 65535 || *end != '\0')
            return failure_set(&client->failure, PF_BAD_ARGUMENT,
                               "SSDB must be unix://path or host:port, with a port up to 65535");
        *colon = '\0';
        client->redis = redisConnectWithTimeout(host, (int)port, limit);
    }
    if (client->redis == NULL)
        return failure_set_no_memory(&client->failure);
    if (client->redis->err != 0) {
        int error = failure_set(&client->failure, PF_CONNECTION,
                                "%s; the server may not be running",
                                client->redis->errstr);
        drop(client);
        return error;
    }
    return PF_OK;
}

/* Sends the password in the file, if there is one to send. */
static int authenticate(struct pf_client *client)
{
    const char *path = getenv("PARSLFLOW_STORE_PASSWORD_FILE");
    if (path == NULL || path[0] == '\0')
        return PF_OK;
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
    redisReply *answer = NULL;
    request_add(&request, "AUTH %s", password);
    int error = client_call(client, &request, &answer);
    freeReplyObject(answer);
    if (error == PF_SERVER)
        return failure_set(&client->failure, PF_CONNECTION,
                           "the server refused the password in %s; "
                           "it may be that of another server",
                           path);
    return error;
}

static int ping(struct pf_client *client)
{
    struct request request = {0};
    redisReply *answer = NULL;
    request_add(&request, "PING");
    int error = client_call(client, &request, &answer);
    freeReplyObject(answer);
    if (error == PF_SERVER && strstr(client->failure.message, "NOAUTH") != NULL)
        return failure_set(&client->failure, PF_CONNECTION,
                           "the server asks for a password; set PARSLFLOW_STORE_PASSWORD_FILE to "
                           "the file that holds it");
    return error == PF_SERVER ? PF_CONNECTION : error;
}

int pf_connect(struct pf_client **handle, double time_limit)
{
    if (*handle == NULL)
        *handle = calloc(1, sizeof **handle);
    struct pf_client *client = *handle;
    if (client == NULL)
        return PF_NO_MEMORY;
    drop(client);
    failure_begin(&client->failure, "connect");
    client->failure.place[0] = '\0';
    client->time_limit = time_limit;
    if (!(time_limit > 0 && time_limit <= 1e6))
        return failure_set(&client->failure, PF_BAD_ARGUMENT,
                           "the time limit must lie between 0 and 1e6 s, not %g s", time_limit);
    const char *addresses = getenv("SSDB");
    if (addresses == NULL || addresses[0] == '\0')
        return failure_set(&client->failure, PF_BAD_ARGUMENT,
                           "the environment variable SSDB is not set; it must hold the store's "
                           "address, unix://path or host:port");
    size_t length = strcspn(addresses, ",");
    if (length >= sizeof client->address)
        return failure_set(&client->failure, PF_BAD_ARGUMENT, "the address in SSDB is too long");
    memcpy(client->address, addresses, length);
    client->address[length] = '\0';
    snprintf(client->failure.place, sizeof client->failure.place, " (store %s)", client->address);
    int error = open_socket(client);
    if (error == PF_OK)
        error = authenticate(client);
    if (error == PF_OK)
        error = ping(client);
    if (error != PF_OK && client->redis != NULL)
        drop(client);
    return error;
}

void pf_disconnect(struct pf_client *client)
{
    if (client == NULL)
        return;
    drop(client);
    free(client);
}

const char *pf_client_message(const struct pf_client *client)
{
    return client == NULL ? "The store client is not connected: connect first."
                          : client->failure.message;
}
