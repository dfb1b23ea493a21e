/* Sentences on stderr, each kind once: a simulation of a million steps must not fill its log. */
#include "internal.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

int say_once(int error, const char *format, ...)
{
    static atomic_uint said;
    unsigned bit = 1u << error;
    if (atomic_fetch_or(&said, bit) & bit)
        return error;
    char sentence[2 * LONGEST_PATH];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    fprintf(stderr, "cmf: %s.\n", sentence);
    return error;
}
