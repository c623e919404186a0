/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantities: decimal numbers with an SI or binary suffix. The value is held as an integer
 * mantissa and a power of ten (or of two for the binary suffixes), in 128 bits, which covers what
 * the API allows: up to 2^63-1 with nano resolution.
 */
#include "api/types.h"

enum suffix_kind { SUFFIX_DECIMAL, SUFFIX_EXPONENT, SUFFIX_BINARY };

/* The number nano / 10^9, and how it wants to be written. */
struct number {
    __int128 nano;
    enum suffix_kind kind;
};

#define NANO       ((__int128)1000000000)
#define NUMBER_MAX ((__int128)INT64_MAX * NANO)

static const struct {
    const char *text;
    int power; /* of 10, or of 2 for the binary ones */
    bool binary;
} suffixes[] = {
    {"n", -9, false}, {"u", -6, false}, {"m", -3, false}, {"", 0, false},
    {"k", 3, false},  {"M", 6, false},  {"G", 9, false},  {"T", 12, false},
    {"P", 15, false}, {"E", 18, false}, {"Ki", 10, true}, {"Mi", 20, true},
    {"Gi", 30, true}, {"Ti", 40, true}, {"Pi", 50, true}, {"Ei", 60, true},
};

static bool parse_suffix(struct str s, int *ret_power, enum suffix_kind *ret_kind)
{
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (str_eqz(s, suffixes[i].text)) {
            *ret_power = suffixes[i].power;
            *ret_kind = suffixes[i].binary ? SUFFIX_BINARY : SUFFIX_DECIMAL;
            return true;
        }
    }
    struct str exponent = str_sub(s, 1, s.n);
    int64_t power;
    if (s.n < 2 || (s.p[0] != 'e' && s.p[0] != 'E'))
        return false;
    (void)(exponent.p[0] == '+' && str_skip(&exponent, STR("+")));
    if (!str_to_i64(exponent, &power) || power > 1000 || power < -1000)
        return false;
    *ret_power = (int)power;
    *ret_kind = SUFFIX_EXPONENT;
    return true;
}

/* *v *= factor, clamped to the maximum. */
static void scale_up(__int128 *v, int64_t factor)
{
    if (*v > NUMBER_MAX / factor)
        *v = NUMBER_MAX;
    else
        *v *= factor;
}

/* Reads "12.5Mi" without its sign. Digits finer than nano round up (away from zero). */
static bool parse_magnitude(struct str s, struct number *ret)
{
    size_t i = 0, digits = 0, decimals = 0;
    bool dot = false, inexact = false;
    __int128 mantissa = 0;
    for (; i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.'); i++) {
        if (s.p[i] == '.') {
            if (dot)
                return false;
            dot = true;
            continue;
        }
        digits++;
        if (mantissa > NUMBER_MAX * 100) { /* further digits cannot matter but for their weight */
            inexact |= s.p[i] != '0';
            if (!dot)
                mantissa = NUMBER_MAX * 1000;
            continue;
        }
        mantissa = mantissa * 10 + (s.p[i] - '0');
        decimals += dot;
    }
    int power;
    if (digits == 0 || !parse_suffix(str_sub(s, i, s.n), &power, &ret->kind))
        return false;
    if (ret->kind == SUFFIX_BINARY) {
        for (int b = 0; b < power; b += 10)
            scale_up(&mantissa, 1024);
        power = 0;
    }
    power += 9 - (int)decimals;
    for (; power > 0 && mantissa; power--)
        scale_up(&mantissa, 10);
    for (; power < 0 && mantissa; power++) {
        inexact |= mantissa % 10 != 0;
        mantissa /= 10;
    }
    ret->nano = MIN(mantissa + inexact, NUMBER_MAX);
    return true;
}

static bool parse(struct str s, struct number *ret)
{
    bool negative = str_skip(&s, STR("-"));
    if (!negative)
        (void)str_skip(&s, STR("+"));
    if (!parse_magnitude(s, ret))
        return false;
    if (negative)
        ret->nano = -ret->nano;
    return true;
}

/* Canonical text: no fraction, the biggest suffix that keeps it whole. */
static struct str format(struct arena *a, const struct number *n)
{
    bool negative = n->nano < 0;
    __int128 v = negative ? -n->nano : n->nano;
    const char *suffix = "";
    char exponent[16];
    if (n->kind == SUFFIX_BINARY && v % NANO == 0 && v >= NANO * 1024) {
        static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
        size_t i = 0;
        v /= NANO;
        while (i + 1 < ARRAY_LEN(names) && v % 1024 == 0) {
            v /= 1024;
            i++;
        }
        suffix = names[i];
    } else if (v) {
        static const char *const names[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
        size_t i = 0;
        /* A binary quantity that is too small or fractional is written in decimal form; whole
         * numbers of it keep no suffix. */
        size_t top = n->kind == SUFFIX_BINARY ? 3 : ARRAY_LEN(names) - 1;
        while (i < top && v % 1000 == 0) {
            v /= 1000;
            i++;
        }
        suffix = names[i];
        if (n->kind == SUFFIX_EXPONENT) {
            snprintf(exponent, sizeof exponent, "e%d", (int)i * 3 - 9);
            suffix = i == 3 ? "" : exponent;
        }
    }
    return arena_fmt(a, "%s%llu%s", negative ? "-" : "", (unsigned long long)v, suffix);
}

bool quantity_parse(struct arena *a, struct str s, struct quantity *ret)
{
    struct number n;
    /* The common case: a short whole number without trailing thousands needs no work. */
    uint64_t whole;
    if (s.n <= 3 && s.n > 0 && s.p[0] != '0' && str_to_u64(s, &whole)) {
        ret->text = s;
        return true;
    }
    if (!parse(s, &n))
        return false;
    ret->text = format(a, &n);
    return true;
}

static struct number number_of(const struct quantity *q)
{
    struct number n = {0};
    if (q && q->text.n && !parse(q->text, &n))
        n = (struct number){0};
    return n;
}

/* v / unit rounded up, as Quantity.ScaledValue does. */
static int64_t scaled(__int128 nano, __int128 unit)
{
    __int128 v = nano / unit + (nano % unit > 0);
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t quantity_value(const struct quantity *q)
{
    return scaled(number_of(q).nano, NANO);
}

int64_t quantity_milli(const struct quantity *q)
{
    return scaled(number_of(q).nano, NANO / 1000);
}

int quantity_cmp(const struct quantity *a, const struct quantity *b)
{
    __int128 x = number_of(a).nano, y = number_of(b).nano;
    return x < y ? -1 : x > y;
}

struct quantity quantity_from_milli(struct arena *a, int64_t milli)
{
    struct number n = {(__int128)milli * 1000000, SUFFIX_DECIMAL};
    return (struct quantity){format(a, &n)};
}

struct quantity quantity_from_int(struct arena *a, int64_t units)
{
    struct number n = {(__int128)units * NANO, SUFFIX_DECIMAL};
    return (struct quantity){format(a, &n)};
}

struct quantity quantity_from_bytes(struct arena *a, int64_t bytes)
{
    struct number n = {(__int128)bytes * NANO, SUFFIX_BINARY};
    return (struct quantity){format(a, &n)};
}

static struct quantity sum(struct arena *ar, const struct quantity *a, const struct quantity *b,
                           int sign)
{
    struct number x = number_of(a), y = number_of(b);
    struct number n = {x.nano + sign * y.nano, x.nano ? x.kind : y.kind};
    n.nano = n.nano > NUMBER_MAX ? NUMBER_MAX : n.nano < -NUMBER_MAX ? -NUMBER_MAX : n.nano;
    return (struct quantity){format(ar, &n)};
}

struct quantity quantity_add(struct arena *ar, const struct quantity *a, const struct quantity *b)
{
    return sum(ar, a, b, 1);
}

struct quantity quantity_sub(struct arena *ar, const struct quantity *a, const struct quantity *b)
{
    return sum(ar, a, b, -1);
}
