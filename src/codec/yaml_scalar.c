/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/yaml_scalar.h"

#include <math.h>

#include "base/clock.h"
#include "codec/json_number.h"
#include "codec/utf8.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(struct str s)
{
    size_t n = 0;
    while (n < s.n && is_digit(s.p[n]))
        n++;
    return n;
}

/* ---- words ---- */

static bool resolve_word(struct str text, struct yaml_scalar *ret)
{
    static const struct {
        const char *spellings[6];
        struct yaml_scalar value;
    } words[] = {
        {{"~", "null", "Null", "NULL"}, {YAML_NULL}},
        {{"y", "Y", "yes", "Yes", "YES"}, {YAML_BOOL, .boolean = true}},
        {{"true", "True", "TRUE"}, {YAML_BOOL, .boolean = true}},
        {{"on", "On", "ON"}, {YAML_BOOL, .boolean = true}},
        {{"n", "N", "no", "No", "NO"}, {YAML_BOOL}},
        {{"false", "False", "FALSE"}, {YAML_BOOL}},
        {{"off", "Off", "OFF"}, {YAML_BOOL}},
        {{".nan", ".NaN", ".NAN"}, {YAML_FLOAT, .real = NAN}},
        {{".inf", ".Inf", ".INF"}, {YAML_FLOAT, .real = INFINITY}},
        {{"+.inf", "+.Inf", "+.INF"}, {YAML_FLOAT, .real = INFINITY}},
        {{"-.inf", "-.Inf", "-.INF"}, {YAML_FLOAT, .real = -INFINITY}},
    };
    if (text.n > 5)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        for (const char *const *z = words[i].spellings; *z; z++)
            if (str_eqz(text, *z)) {
                *ret = words[i].value;
                return true;
            }
    return false;
}

/* ---- timestamps: 2006-1-2, with T15:4:5.9Z, t15:4:5.9+01:00 or " 15:4:5.9" behind it ---- */

/* One or two digits, as Go's time.Parse takes them, from min to max. */
static bool take_two(struct str *s, int min, int max, int *ret)
{
    size_t n = MIN(count_digits(*s), (size_t)2);
    if (n == 0)
        return false;
    *ret = s->p[0] - '0';
    if (n == 2)
        *ret = *ret * 10 + s->p[1] - '0';
    *s = str_sub(*s, n, s->n);
    return *ret >= min && *ret <= max;
}

static bool take_date(struct str *s)
{
    if (count_digits(*s) != 4)
        return false;
    int year = 0, month, day, check_year, check_month, check_day;
    for (int i = 0; i < 4; i++)
        year = year * 10 + s->p[i] - '0';
    *s = str_sub(*s, 4, s->n);
    if (!str_skip(s, STR("-")) || !take_two(s, 1, 12, &month) || !str_skip(s, STR("-")) ||
        !take_two(s, 1, 31, &day))
        return false;
    civil_from_days(days_from_civil(year, month, day), &check_year, &check_month, &check_day);
    return check_day == day;
}

static bool take_time(struct str *s)
{
    int hour, minute, second;
    if (!take_two(s, 0, 23, &hour) || !str_skip(s, STR(":")) || !take_two(s, 0, 59, &minute) ||
        !str_skip(s, STR(":")) || !take_two(s, 0, 59, &second))
        return false;
    if (s->n > 1 && (s->p[0] == '.' || s->p[0] == ',') && is_digit(s->p[1]))
        *s = str_sub(*s, 1 + count_digits(str_sub(*s, 1, s->n)), s->n);
    return true;
}

static bool take_zone(struct str *s)
{
    int hours, minutes;
    if (str_skip(s, STR("Z")))
        return true;
    if (s->n != 6 || s->p[3] != ':' || !(str_skip(s, STR("+")) || str_skip(s, STR("-"))))
        return false;
    return take_two(s, 0, 24, &hours) && str_skip(s, STR(":")) && take_two(s, 0, 60, &minutes);
}

static bool is_timestamp(struct str s)
{
    if (!take_date(&s))
        return false;
    if (s.n == 0)
        return true;
    bool zone = str_skip(&s, STR("T")) || str_skip(&s, STR("t"));
    if (!zone && !str_skip(&s, STR(" ")))
        return false;
    while (!zone && str_skip(&s, STR(" ")))
        ;
    return take_time(&s) && (!zone || take_zone(&s)) && s.n == 0;
}

/* ---- numbers ---- */

/* All of s, in that base. *ret_fits tells whether it fits 64 bits. False: not such digits. */
static bool read_digits(struct str s, unsigned base, uint64_t *ret, bool *ret_fits)
{
    *ret = 0;
    *ret_fits = true;
    for (size_t i = 0; i < s.n; i++) {
        int digit = hex_value(s.p[i]);
        if (digit < 0 || digit >= (int)base)
            return false;
        if (__builtin_mul_overflow(*ret, base, ret) ||
            __builtin_add_overflow(*ret, (uint64_t)digit, ret))
            *ret_fits = false;
    }
    return s.n > 0;
}

/* The base that the prefix tells, as Go's strconv.ParseInt(s, 0, 64); cuts the prefix off. */
static unsigned take_base(struct str *s)
{
    if (s->n < 2 || s->p[0] != '0')
        return 10;
    char letter = s->p[1] | 0x20;
    unsigned base = letter == 'b' ? 2 : letter == 'o' ? 8 : letter == 'x' ? 16 : 0;
    if (!base || s->n == 2)
        return 8;
    *s = str_sub(*s, 2, s->n);
    return base;
}

static bool take_sign(struct str *s)
{
    bool negative = str_skip(s, STR("-"));
    if (!negative)
        str_skip(s, STR("+"));
    return negative;
}

static bool resolve_int(struct str plain, struct yaml_scalar *ret)
{
    bool negative = take_sign(&plain), fits;
    uint64_t magnitude;
    unsigned base = take_base(&plain);
    if (!read_digits(plain, base, &magnitude, &fits) || !fits ||
        (negative && magnitude > (uint64_t)INT64_MAX + 1))
        return false;
    *ret = (struct yaml_scalar){YAML_INT, .negative = negative, .magnitude = magnitude};
    return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(struct str s)
{
    take_sign(&s);
    size_t whole = count_digits(s), fraction = 0;
    s = str_sub(s, whole, s.n);
    if (str_skip(&s, STR("."))) {
        fraction = count_digits(s);
        s = str_sub(s, fraction, s.n);
    }
    if (whole + fraction == 0)
        return false;
    if (str_skip(&s, STR("e")) || str_skip(&s, STR("E"))) {
        take_sign(&s);
        return s.n > 0 && count_digits(s) == s.n;
    }
    return s.n == 0;
}

/* scratch may hold plain itself. */
static bool resolve_float(struct str plain, struct buf *scratch, struct yaml_scalar *ret)
{
    if (!is_float(plain))
        return false;
    if (plain.p != scratch->p) {
        buf_str(scratch, plain);
        if (scratch->failed)
            return false;
    }
    double v = strtod(scratch->p, NULL);
    if (!isfinite(v))
        return false;
    struct str digits = buf_view(scratch);
    *ret = (struct yaml_scalar){YAML_FLOAT, .real = v, .negative = take_sign(&digits)};
    if (count_digits(digits) < digits.n)
        return true;
    while (digits.n > 1 && digits.p[0] == '0')
        str_skip(&digits, STR("0"));
    ret->kind = YAML_LONG;
    ret->digits = digits;
    return true;
}

/* Without underscores: those may stand anywhere in a number. */
static struct str plain_digits(struct str text, struct buf *scratch)
{
    if (str_index(text, '_') < 0)
        return text;
    for (struct str part; str_next(&text, '_', &part);)
        buf_str(scratch, part);
    return buf_view(scratch);
}

struct yaml_scalar yaml_resolve(struct str text, struct buf *scratch)
{
    struct yaml_scalar v = {YAML_STRING};
    buf_clear(scratch);
    if (text.n == 0)
        return (struct yaml_scalar){YAML_NULL};
    if (resolve_word(text, &v))
        return v;
    char c = text.p[0];
    if (c == '.') {
        resolve_float(text, scratch, &v);
        return v;
    }
    if (!is_digit(c) && c != '-' && c != '+')
        return v;
    if (is_timestamp(text))
        return (struct yaml_scalar){YAML_TIMESTAMP};
    struct str plain = plain_digits(text, scratch);
    if (!scratch->failed && !resolve_int(plain, &v))
        resolve_float(plain, scratch, &v);
    return v;
}

/* ---- writing ---- */

void yaml_put_float(struct buf *b, double v, bool single)
{
    if (single)
        v = (double)(float)v;
    if (!isfinite(v)) {
        buf_z(b, isnan(v) ? ".nan" : v < 0 ? "-.inf" : ".inf");
        return;
    }
    char digits[32];
    int exponent, n = json_shortest_digits(fabs(v), single, digits, &exponent);
    if (signbit(v))
        buf_c(b, '-');
    if (v == 0)
        buf_c(b, '0');
    else if (exponent < -4 || exponent >= 6)
        json_put_scientific(b, digits, n, exponent, 2);
    else
        json_put_plain(b, digits, n, exponent);
}

bool yaml_is_base60(struct str s)
{
    take_sign(&s);
    if (s.n == 0 || !is_digit(s.p[0]))
        return false;
    while (s.n && (is_digit(s.p[0]) || s.p[0] == '_'))
        s = str_sub(s, 1, s.n);
    int part;
    bool parts = false;
    for (; str_skip(&s, STR(":")); parts = true)
        if (count_digits(s) > 2 || !take_two(&s, 0, 59, &part))
            return false;
    if (parts && str_skip(&s, STR(".")))
        while (s.n && (is_digit(s.p[0]) || s.p[0] == '_'))
            s = str_sub(s, 1, s.n);
    return parts && s.n == 0;
}
