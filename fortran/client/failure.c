/* Messages: one sentence that names the key, the address and the cause. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void failure_begin(struct failure *failure, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->task, sizeof failure->task, format, arguments);
    va_end(arguments);
    failure->message[0] = '\0';
}

int failure_set(struct failure *failure, int error, const char *format, ...)
{
    char cause[sizeof failure->message - sizeof failure->task - sizeof failure->place -
               sizeof "Cannot : ."];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cause, sizeof cause, format, arguments);
    va_end(arguments);
    snprintf(failure->message, sizeof failure->message, "Cannot %s%s: %s.", failure->task,
             failure->place, cause);
    return error;
}

int failure_set_no_memory(struct failure *failure)
{
    return failure_set(failure, PF_NO_MEMORY, "this program is out of memory");
}

int name_check(const char *name, struct failure *failure)
{
    if (name[0] == '\0')
        return failure_set(failure, PF_BAD_ARGUMENT, "the name is empty");
    return PF_OK;
}
