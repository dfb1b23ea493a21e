/* Commands as RESP, ready to be sent, and sent again, in one go. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shorter words are copied among the others: a piece of its own costs more than the copy. */
#define SHORT_WORD 4096

static struct piece *add_piece(struct request *request)
{
    if (request->piece_count == request->piece_capacity) {
        size_t capacity = request->piece_capacity == 0 ? 16 : 2 * request->piece_capacity;
        struct piece *pieces = realloc(request->pieces, capacity * sizeof *pieces);
        if (pieces == NULL) {
            request->incomplete = true;
            return NULL;
        }
        request->pieces = pieces;
        request->piece_capacity = capacity;
    }
    struct piece *piece = &request->pieces[request->piece_count++];
    *piece = (struct piece){0};
    return piece;
}

static void add_text(struct request *request, const void *bytes, size_t length)
{
    if (request->incomplete)
        return;
    size_t needed = request->text_length + length;
    if (needed > request->text_capacity) {
        size_t capacity = needed < 512 ? 1024 : 2 * needed;
        char *text = realloc(request->text, capacity);
        if (text == NULL) {
            request->incomplete = true;
            return;
        }
        request->text = text;
        request->text_capacity = capacity;
    }
    struct piece *piece =
        request->piece_count == 0 ? NULL : &request->pieces[request->piece_count - 1];
    if (piece == NULL || piece->bytes != NULL) {
        piece = add_piece(request);
        if (piece == NULL)
            return;
        piece->offset = request->text_length;
    }
    memcpy(request->text + request->text_length, bytes, length);
    request->text_length = needed;
    piece->length += length;
}

static void add_head(struct request *request, char kind, size_t number)
{
    char head[32];
    int length = snprintf(head, sizeof head, "%c%zu\r\n", kind, number);
    add_text(request, head, (size_t)length);
}

void request_begin(struct request *request, int words)
{
    add_head(request, '*', (size_t)words);
    request->count += 1;
}

void request_bytes(struct request *request, const void *bytes, size_t length)
{
    add_head(request, '$', length);
    if (length < SHORT_WORD) {
        add_text(request, bytes, length);
    } else if (!request->incomplete) {
        struct piece *piece = add_piece(request);
        if (piece != NULL)
            *piece = (struct piece){.bytes = bytes, .length = length};
    }
    add_text(request, "\r\n", 2);
}

void request_text(struct request *request, const char *text)
{
    request_bytes(request, text, strlen(text));
}

void request_number(struct request *request, long long number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", number);
    request_text(request, text);
}

void request_key(struct request *request, const struct prefix *prefix, const char *name)
{
    size_t length = strlen(name);
    add_head(request, '$', prefix->length + length);
    add_text(request, prefix->bytes, prefix->length);
    add_text(request, name, length);
    add_text(request, "\r\n", 2);
}

void request_join(struct request *request, ...)
{
    va_list parts;
    va_start(parts, request);
    va_list measured;
    va_copy(measured, parts);
    size_t length = 0;
    for (const char *part; (part = va_arg(measured, const char *)) != NULL;)
        length += strlen(part);
    va_end(measured);
    add_head(request, '$', length);
    for (const char *part; (part = va_arg(parts, const char *)) != NULL;)
        add_text(request, part, strlen(part));
    va_end(parts);
    add_text(request, "\r\n", 2);
}

void request_add(struct request *request, ...)
{
    va_list words;
    va_start(words, request);
    va_list counted;
    va_copy(counted, words);
    int count = 0;
    while (va_arg(counted, const char *) != NULL)
        ++count;
    va_end(counted);
    request_begin(request, count);
    for (int i = 0; i < count; ++i)
        request_text(request, va_arg(words, const char *));
    va_end(words);
}

const redisReply *request_reply(const struct request *request, int index)
{
    return request->replies[index < 0 ? request->count - 1 : index];
}

void request_free_replies(struct request *request)
{
    for (int i = 0; request->replies != NULL && i < request->count; ++i)
        freeReplyObject(request->replies[i]);
    free(request->replies);
    request->replies = NULL;
}

void request_free(struct request *request)
{
    request_free_replies(request);
    free(request->text);
    free(request->pieces);
    *request = (struct request){0};
}
