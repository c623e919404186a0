/* SPDX-License-Identifier: Apache-2.0 */
/* JSON numbers: text to integer and double, and back as Go's encoding/json writes doubles. */
#include "codec/json_number.h"

#include <float.h>
#include <math.h>

#include "codec/json.h"

/* Exponents are clamped here: far past all that we convert, and past what the digits of a text
 * could make up for. */
enum { EXPONENT_MAX = 1 << 30 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- a number text taken apart: 0.digits times ten to the exponent ---- */

struct decimal {
    bool negative;
    struct str digits; /* may hold one '.'; begins and ends with a digit 1 to 9; empty: zero */
    int64_t exponent;
};

static bool read_exponent(struct str text, int64_t *ret)
{
    bool negative = str_skip(&text, STR("-"));
    if (!negative)
        str_skip(&text, STR("+"));
    if (text.n == 0)
        return false;
    int64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (!is_digit(text.p[i]))
            return false;
        v = MIN(v * 10 + (text.p[i] - '0'), (int64_t)EXPONENT_MAX);
    }
    *ret = negative ? -v : v;
    return true;
}

/* Digits with at most one '.', which must stand between digits. */
static bool well_formed(struct str mantissa, ptrdiff_t point)
{
    if (mantissa.n == 0 || point == 0 || point == (ptrdiff_t)mantissa.n - 1)
        return false;
    for (size_t i = 0; i < mantissa.n; i++)
        if (!is_digit(mantissa.p[i]) && (ptrdiff_t)i != point)
            return false;
    return true;
}

static bool take_apart(struct str text, struct decimal *ret)
{
    *ret = (struct decimal){.negative = str_skip(&text, STR("-"))};
    size_t e = 0;
    while (e < text.n && text.p[e] != 'e' && text.p[e] != 'E')
        e++;
    struct str mantissa = str_sub(text, 0, e);
    ptrdiff_t point = str_index(mantissa, '.');
    if (!well_formed(mantissa, point))
        return false;
    if (e < text.n && !read_exponent(str_sub(text, e + 1, text.n), &ret->exponent))
        return false;
    size_t whole = point < 0 ? mantissa.n : (size_t)point, from = 0, to = mantissa.n;
    while (from < to && (mantissa.p[from] == '0' || mantissa.p[from] == '.'))
        from++;
    while (to > from && (mantissa.p[to - 1] == '0' || mantissa.p[to - 1] == '.'))
        to--;
    ret->digits = str_sub(mantissa, from, to);
    ret->exponent += (int64_t)whole - (int64_t)from + (from > whole);
    return true;
}

/* The digit at *at, stepping over the point; 0 past the end. */
static int next_digit(struct str digits, size_t *at)
{
    if (*at < digits.n && digits.p[*at] == '.')
        ++*at;
    return *at < digits.n ? digits.p[(*at)++] - '0' : 0;
}

static int64_t digit_count(struct str digits)
{
    return (int64_t)digits.n - (str_index(digits, '.') >= 0);
}

bool json_number_i64(struct str text, int64_t *ret)
{
    if (text.n < 20 && str_to_i64(text, ret))
        return true;
    struct decimal d;
    if (!take_apart(text, &d))
        return false;
    *ret = 0;
    if (d.digits.n == 0)
        return true;
    if (d.exponent > 19 || d.exponent < digit_count(d.digits))
        return false; /* too big, or digits behind the point */
    uint64_t v = 0;
    size_t at = 0;
    for (int64_t i = 0; i < d.exponent; i++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)next_digit(d.digits, &at), &v))
            return false;
    if (v > (uint64_t)INT64_MAX + d.negative)
        return false;
    *ret = (int64_t)(d.negative ? 0 - v : v);
    return true;
}

bool json_number_eq(struct str a, struct str b)
{
    struct decimal x, y;
    if (str_eq(a, b))
        return true;
    if (!take_apart(a, &x) || !take_apart(b, &y))
        return false;
    if (x.digits.n == 0 || y.digits.n == 0)
        return x.digits.n == y.digits.n;
    int64_t n = digit_count(x.digits);
    if (x.negative != y.negative || x.exponent != y.exponent || n != digit_count(y.digits))
        return false;
    for (size_t i = 0, j = 0; n > 0; n--)
        if (next_digit(x.digits, &i) != next_digit(y.digits, &j))
            return false;
    return true;
}

/* ---- doubles ---- */

/* Up to 15 digits and a power of ten up to 22 are both exact doubles, so that one operation
 * rounds once and gives the nearest double (Clinger's fast path). */
static bool small_double(const struct decimal *d, double *ret)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int64_t n = digit_count(d->digits), shift = d->exponent - n;
    if (n > DBL_DIG || shift < -22 || shift > 22 || FLT_EVAL_METHOD != 0)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; n > 0; n--)
        v = v * 10 + (uint64_t)next_digit(d->digits, &i);
    double m = (double)v;
    m = shift < 0 ? m / power[-shift] : m * power[shift];
    *ret = d->negative ? -m : m;
    return true;
}

bool json_number_double(struct str text, double *ret)
{
    struct decimal d;
    if (!take_apart(text, &d))
        return false;
    if (small_double(&d, ret))
        return true;
    char small[128], *z = text.n < sizeof small ? small : malloc(text.n + 1);
    if (!z)
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = 0;
    *ret = strtod(z, NULL);
    if (z != small)
        free(z);
    return isfinite(*ret);
}

/* The next decimal of as many digits. Not for one of nines only: no power of two begins so. */
static void step_up(char *text)
{
    char *p = strchr(text, 'e') - 1;
    for (; *p == '9' || *p == '.'; p--)
        if (*p == '9')
            *p = '0';
    ++*p;
}

static bool reads_back(const char *text, double v, bool single)
{
    return single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v;
}

/* The shortest text "d.ddde[+-]dd" for v. */
static void find_shortest(char out[32], double v, bool single)
{
    /* A normal double keeps any 15 digits, a float any 6, so fewer need not be tried: the zeros
     * that they would drop are cut afterwards. */
    int kept = single ? FLT_DIG : DBL_DIG, digits = v < (single ? FLT_MIN : DBL_MIN) ? 1 : kept;
    int max = single ? FLT_DECIMAL_DIG : DBL_DECIMAL_DIG, exponent;
    bool power_of_two = frexp(v, &exponent) == 0.5;
    for (; digits <= max; digits++) {
        snprintf(out, 32, "%.*e", digits - 1, v);
        if (reads_back(out, v, single))
            return;
        /* Numbers lie twice as dense below a power of two as above it: the decimal above may
         * read back where the one below, though nearer, does not. */
        if (power_of_two && digits > kept) {
            step_up(out);
            if (reads_back(out, v, single))
                return;
        }
    }
    never("so many digits tell all numbers apart");
}

int json_shortest_digits(double v, bool single, char digits[32], int *ret_exponent)
{
    char text[32], *p = text;
    find_shortest(text, single ? (double)(float)v : v, single);
    int n = 0;
    for (; *p != 'e'; p++)
        if (is_digit(*p))
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    *ret_exponent = (int)strtol(p + 1, NULL, 10);
    return n;
}

static void put_zeros(struct buf *b, int n)
{
    while (n-- > 0)
        buf_c(b, '0');
}

void json_put_plain(struct buf *b, const char *digits, int n, int exponent)
{
    int whole = exponent + 1; /* digits in front of the point */
    if (whole <= 0) {
        buf_z(b, "0.");
        put_zeros(b, -whole);
        buf_add(b, digits, (size_t)n);
        return;
    }
    buf_add(b, digits, (size_t)MIN(n, whole));
    put_zeros(b, whole - n);
    if (n > whole) {
        buf_c(b, '.');
        buf_add(b, digits + whole, (size_t)(n - whole));
    }
}

void json_put_scientific(struct buf *b, const char *digits, int n, int exponent,
                         int exponent_digits_min)
{
    buf_c(b, digits[0]);
    if (n > 1) {
        buf_c(b, '.');
        buf_add(b, digits + 1, (size_t)(n - 1));
    }
    buf_fmt(b, "e%c%0*d", exponent < 0 ? '-' : '+', exponent_digits_min, abs(exponent));
}

void json_put_double(struct buf *b, double v)
{
    if (!isfinite(v)) {
        b->failed = true;
        return;
    }
    if (signbit(v))
        buf_c(b, '-');
    char digits[32];
    int exponent, n = json_shortest_digits(fabs(v), false, digits, &exponent);
    if (v == 0 || (fabs(v) >= 1e-6 && fabs(v) < 1e21)) {
        json_put_plain(b, digits, n, exponent);
        return;
    }
    json_put_scientific(b, digits, n, exponent, 1);
}
