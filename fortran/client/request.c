/* Commands formatted as RESP, ready to be sent, and sent again, in one go. */
#include "internal.h"

#include <stdarg.h>
#include <stdlib.h>

static void add(struct request *request, char *text, int length)
{
    if (length < 0) {
        request->incomplete = true;
        return;
    }
    if (request->count == request->capacity) {
        size_t capacity = request->capacity == 0 ? 16 : 2 * request->capacity;
        struct command *commands = realloc(request->commands, capacity * sizeof *commands);
        if (commands == NULL) {
            redisFreeCommand(text);
            request->incomplete = true;
            return;
        }
        request->commands = commands;
        request->capacity = capacity;
    }
    request->commands[request->count++] = (struct command){text, (size_t)length};
}

void request_add(struct request *request, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = redisvFormatCommand(&text, format, arguments);
    va_end(arguments);
    add(request, text, length);
}

void request_add_words(struct request *request, int count, const char *const words[],
                       const size_t lengths[])
{
    char *text = NULL;
    int length = redisFormatCommandArgv(&text, count, (const char **)words, lengths);
    add(request, text, length);
}

void request_free(struct request *request)
{
    for (size_t i = 0; i < request->count; ++i)
        redisFreeCommand(request->commands[i].text);
    free(request->commands);
    *request = (struct request){0};
}
