/* Numbers as JSON has them. Doubles are the shortest decimal text that reads back the same, written as
 * Python's repr does: the algorithm Schubfach of R. Giulietti (2020), "The Schubfach way to render
 * doubles". It needs no locale, and takes a tenth of printf's time. */
#include "internal.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

enum { LEAST_POWER = -292, MOST_POWER = 324, WORDS = 24 };

typedef unsigned __int128 wide;

/* 10^k as a number in [2^127, 2^128), rounded up: high and low half. */
static uint64_t powers[MOST_POWER - LEAST_POWER + 1][2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Keeps the leading 128 bits of a whole number, little end first, that is larger than 2^128. */
static void keep(const uint64_t number[WORDS], int power, bool truncated)
{
    int top = WORDS - 1;
    while (number[top] == 0)
        top--;
    int shift = __builtin_clzll(number[top]);
    wide leading = (wide)number[top] << 64 | number[top - 1];
    uint64_t next = number[top - 2];
    if (shift > 0) {
        leading = leading << shift | next >> (64 - shift);
        next <<= shift;
    }
    bool rest = truncated || next != 0;
    for (int i = 0; i < top - 2; i++)
        rest = rest || number[i] != 0;
    leading += rest;
    powers[power - LEAST_POWER][0] = (uint64_t)(leading >> 64);
    powers[power - LEAST_POWER][1] = (uint64_t)leading;
}

static void make_powers(void)
{
    uint64_t number[WORDS] = {0, 0, 1};
    for (int power = 0; power <= MOST_POWER; power++) {
        keep(number, power, false);
        wide carry = 0;
        for (int i = 0; i < WORDS; i++) {
            carry += (wide)number[i] * 10;
            number[i] = (uint64_t)carry;
            carry >>= 64;
        }
    }
    memset(number, 0, sizeof number);
    number[WORDS - 3] = 1; /* 2^1344, of which 10^292 leaves 374 bits */
    for (int power = -1; power >= LEAST_POWER; power--) {
        wide rest = 0;
        for (int i = WORDS - 1; i >= 0; i--) {
            rest = rest << 64 | number[i];
            number[i] = (uint64_t)(rest / 10);
            rest %= 10;
        }
        keep(number, power, true);
    }
}

void number_prepare(void)
{
    pthread_once(&once, make_powers);
}

/* power * factor / 2^128, with the last bit set if it is not exact. */
static uint64_t round_to_odd(const uint64_t power[2], uint64_t factor)
{
    wide low = (wide)power[1] * factor;
    wide high = (wide)power[0] * factor + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The shortest decimal digits that read back as significand * 2^exponent, times 10^*power. */
static uint64_t shortest(uint64_t significand, int exponent, bool lower_is_closer, int *power)
{
    bool even = significand % 2 == 0;
    int k = (exponent * 1262611 - (lower_is_closer ? 524031 : 0)) >> 22; /* floor(log10) */
    int h = exponent + ((-k * 1741647) >> 19) + 1;                       /* floor(log2(10^-k)) */
    const uint64_t *scale = powers[-k - LEAST_POWER];
    uint64_t below = round_to_odd(scale, (4 * significand - 2 + lower_is_closer) << h);
    uint64_t value = round_to_odd(scale, (4 * significand) << h);
    uint64_t above = round_to_odd(scale, (4 * significand + 2) << h);
    uint64_t lower = below + !even, upper = above - !even;

    uint64_t digits = value / 4;
    if (digits >= 10) {
        uint64_t shorter = digits / 10;
        bool down = lower <= 40 * shorter, up = 40 * shorter + 40 <= upper;
        if (down != up) {
            *power = k + 1;
            return shorter + up;
        }
    }
    *power = k;
    bool down = lower <= 4 * digits, up = 4 * digits + 4 <= upper;
    if (down != up)
        return digits + up;
    uint64_t middle = 4 * digits + 2;
    return digits + (value > middle || (value == middle && digits % 2 == 1));
}

static int put_digits(char *to, uint64_t number)
{
    char reversed[20];
    int count = 0;
    do {
        reversed[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (int i = 0; i < count; i++)
        to[i] = reversed[count - 1 - i];
    return count;
}

static char *put(char *to, const char *text)
{
    size_t length = strlen(text);
    memcpy(to, text, length);
    return to + length;
}

static char *put_exponent(char *to, int exponent)
{
    *to++ = 'e';
    *to++ = exponent < 0 ? '-' : '+';
    uint64_t size = (uint64_t)(exponent < 0 ? -exponent : exponent);
    if (size < 10)
        *to++ = '0';
    return to + put_digits(to, size);
}

char *put_real(char *to, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    int biased = (int)(bits >> 52 & 0x7FF), power;
    /* By their bits: to compare a signalling NaN can end a program that traps invalid operations. */
    if (biased == 0x7FF && fraction != 0)
        return put(to, "NaN");
    if (bits >> 63)
        *to++ = '-';
    if (biased == 0x7FF)
        return put(to, "Infinity");
    value = fabs(value);
    if (value < 1e15 && value == (double)(int64_t)value) {
        to += put_digits(to, (uint64_t)value);
        return put(to, ".0");
    }
    uint64_t digits =
        biased == 0 ? shortest(fraction, -1074, false, &power)
                    : shortest(fraction | UINT64_C(1) << 52, biased - 1075,
                               fraction == 0 && biased > 1, &power);
    while (digits % 10 == 0) {
        digits /= 10;
        power++;
    }
    char text[20];
    int count = put_digits(text, digits);
    int exponent = count - 1 + power; /* of the first digit */
    if (exponent < -4 || exponent >= 16) {
        *to++ = text[0];
        if (count > 1) {
            *to++ = '.';
            memcpy(to, text + 1, (size_t)(count - 1));
            to += count - 1;
        }
        return put_exponent(to, exponent);
    }
    if (exponent < 0) {
        to = put(to, "0.");
        for (int i = exponent; i < -1; i++)
            *to++ = '0';
        memcpy(to, text, (size_t)count);
        return to + count;
    }
    for (int i = 0; i < count || i <= exponent; i++) {
        if (i == exponent + 1)
            *to++ = '.';
        *to++ = i < count ? text[i] : '0';
    }
    return count > exponent + 1 ? to : put(to, ".0");
}

char *put_integer(char *to, int64_t value)
{
    uint64_t size = (uint64_t)value;
    if (value < 0) {
        *to++ = '-';
        size = -size;
    }
    return to + put_digits(to, size);
}

static const char *after_digits(const char *text)
{
    while (*text >= '0' && *text <= '9')
        text++;
    return text;
}

static bool is_blank_end(const char *text)
{
    return text[strspn(text, " \t")] == '\0';
}

/* "nan", "inf" or "infinity" in any case, as C and Fortran write them. */
static char *put_not_finite(char *to, const char *text, bool negative)
{
    static const char *const names[] = {"infinity", "inf", "nan"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if (strncasecmp(text, names[i], length) == 0 && is_blank_end(text + length))
            return put(to, i == 2 ? "NaN" : negative ? "-Infinity" : "Infinity");
    }
    return NULL;
}

char *put_number(char *to, const char *text)
{
    text += strspn(text, " \t");
    bool negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    const char *whole = text, *whole_end = after_digits(text);
    const char *part = whole_end, *part_end = whole_end;
    bool point = *whole_end == '.';
    if (point) {
        part = whole_end + 1;
        part_end = after_digits(part);
    }
    if (whole == whole_end && part == part_end)
        return put_not_finite(to, whole, negative);
    const char *end = part_end, *exponent = NULL;
    if (*end != '\0' && strchr("eEdD", *end) != NULL) {
        exponent = end + 1;
        if (*exponent == '-' || *exponent == '+')
            exponent++;
        end = after_digits(exponent);
        if (end == exponent || end - exponent > 4)
            return NULL;
    }
    if (!is_blank_end(end))
        return NULL;
    while (whole < whole_end - 1 && *whole == '0')
        whole++;
    bool is_whole = !point && exponent == NULL;
    if (is_whole && whole_end - whole > 18) /* may not fit in 64 bits */
        return NULL;
    if (negative)
        *to++ = '-';
    if (whole == whole_end)
        *to++ = '0';
    memcpy(to, whole, (size_t)(whole_end - whole));
    to += whole_end - whole;
    if (!is_whole) {
        *to++ = '.';
        if (part == part_end)
            *to++ = '0';
        memcpy(to, part, (size_t)(part_end - part));
        to += part_end - part;
    }
    if (exponent != NULL) {
        *to++ = 'e';
        if (exponent[-1] == '-')
            *to++ = '-';
        memcpy(to, exponent, (size_t)(end - exponent));
        to += end - exponent;
    }
    return to;
}
