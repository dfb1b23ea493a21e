/* Strings and values as JSON. */
#include "internal.h"

#include <string.h>

size_t string_most(const char *text)
{
    return text == NULL ? 2 : 2 + 6 * strlen(text);
}

/* How many bytes at `text` are a character of UTF-8, or minus how many are the beginning of one that
 * something else follows; what Python replaces by one U+FFFD. */
static int character_length(const unsigned char *text)
{
    unsigned char first = text[0], least = 0x80, most = 0xBF;
    int length;
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        length = 2;
    else if (first >= 0xE0 && first <= 0xEF)
        length = 3;
    else if (first >= 0xF0 && first <= 0xF4)
        length = 4;
    else
        return -1;
    /* No longer than needed, no surrogates, nothing beyond U+10FFFF. */
    if (first == 0xE0)
        least = 0xA0;
    else if (first == 0xED)
        most = 0x9F;
    else if (first == 0xF0)
        least = 0x90;
    else if (first == 0xF4)
        most = 0x8F;
    for (int i = 1; i < length; i++) {
        if (text[i] < least || text[i] > most)
            return -i;
        least = 0x80;
        most = 0xBF;
    }
    return length;
}

char *put_string(char *to, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *from = (const unsigned char *)(text == NULL ? "" : text);
    *to++ = '"';
    while (*from != '\0') {
        unsigned char byte = *from;
        if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\') {
            *to++ = (char)byte;
            from++;
        } else if (byte == '"' || byte == '\\') {
            *to++ = '\\';
            *to++ = (char)byte;
            from++;
        } else if (byte < 0x20) {
            to = put_text(to, "\\u00");
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
            from++;
        } else {
            int length = character_length(from);
            if (length > 0)
                memcpy(to, from, (size_t)length);
            else
                memcpy(to, "\xEF\xBF\xBD", 3);
            to += length > 0 ? length : 3;
            from += length > 0 ? length : -length;
        }
    }
    *to++ = '"';
    return to;
}

char *put_text(char *to, const char *text)
{
    size_t length = strlen(text);
    memcpy(to, text, length);
    return to + length;
}

int values_check(const struct cmf_value *values, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (values[i].kind < CMF_INTEGER || values[i].kind > CMF_REALS32)
            return say_once(CMF_BAD_ARGUMENT,
                            "the value '%s' is of kind %d, which does not exist: use cmf_integer, "
                            "cmf_real, cmf_string, ... to make it",
                            values[i].key == NULL ? "" : values[i].key, values[i].kind);
    return CMF_OK;
}

size_t values_most(const struct cmf_value *values, size_t size)
{
    size_t most = 2;
    for (size_t i = 0; i < size; i++) {
        const struct cmf_value *value = &values[i];
        most += string_most(value->key) + 2;
        if (value->kind == CMF_STRING) {
            most += string_most(value->address);
        } else if (value->kind == CMF_STRINGS) {
            const char *const *strings = value->address;
            most += 2;
            for (size_t n = 0; n < value->count; n++)
                most += string_most(strings[n]) + 1;
        } else {
            most += (LONGEST_NUMBER + 1) * (value->kind > CMF_STRING ? value->count : 1) + 2;
        }
    }
    return most;
}

static char *put_element(char *to, const struct cmf_value *value, size_t n)
{
    switch (value->kind) {
    case CMF_INTEGERS:
        return put_integer(to, ((const int64_t *)value->address)[n]);
    case CMF_REALS:
        return put_real(to, ((const double *)value->address)[n]);
    case CMF_INTEGERS32:
        return put_integer(to, ((const int32_t *)value->address)[n]);
    case CMF_REALS32:
        return put_real(to, ((const float *)value->address)[n]);
    default:
        return put_string(to, ((const char *const *)value->address)[n]);
    }
}

static char *put_value(char *to, const struct cmf_value *value)
{
    if (value->kind == CMF_INTEGER)
        return put_integer(to, value->integer);
    if (value->kind == CMF_REAL)
        return put_real(to, value->real);
    if (value->kind == CMF_STRING)
        return put_string(to, value->address);
    *to++ = '[';
    for (size_t n = 0; n < value->count; n++) {
        if (n > 0)
            *to++ = ',';
        to = put_element(to, value, n);
    }
    *to++ = ']';
    return to;
}

char *put_values(char *to, const struct cmf_value *values, size_t size)
{
    *to++ = '{';
    for (size_t i = 0; i < size; i++) {
        if (i > 0)
            *to++ = ',';
        to = put_string(to, values[i].key);
        *to++ = ':';
        to = put_value(to, &values[i]);
    }
    *to++ = '}';
    return to;
}
