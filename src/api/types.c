/* SPDX-License-Identifier: Apache-2.0 */
#include "api/types.h"

/* Index of the first key that is not before `key`. */
static size_t lower_bound(const struct str_map *m, struct str key)
{
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (str_cmp(m->v[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct str_pair *find(const struct str_map *m, struct str key)
{
    size_t at = lower_bound(m, key);
    return at < m->n && str_eq(m->v[at].key, key) ? &m->v[at] : NULL;
}

struct str str_map_get(const struct str_map *m, struct str key)
{
    const struct str_pair *p = find(m, key);
    if (!p)
        return STR_NULL;
    return p->value.p ? p->value : STR("");
}

bool str_map_has(const struct str_map *m, struct str key)
{
    return find(m, key) != NULL;
}

size_t list_room(size_t n)
{
    size_t room = 4;
    while (room < n)
        room *= 2;
    return room;
}

void *list_grow(struct arena *a, void *v, size_t n, size_t elem_size)
{
    if (n && n < list_room(n))
        return v;
    void *grown = arena_alloc(a, list_room(n + 1) * elem_size);
    if (n)
        memcpy(grown, v, n * elem_size);
    return grown;
}

void str_map_set(struct arena *a, struct str_map *m, struct str key, struct str value)
{
    size_t at = lower_bound(m, key);
    if (at < m->n && str_eq(m->v[at].key, key)) {
        m->v[at].value = value;
        return;
    }
    m->v = list_grow(a, m->v, m->n, sizeof *m->v);
    memmove(&m->v[at + 1], &m->v[at], (m->n - at) * sizeof *m->v);
    m->v[at] = (struct str_pair){key, value};
    m->n++;
}

bool str_map_del(struct str_map *m, struct str key)
{
    struct str_pair *p = find(m, key);
    if (!p)
        return false;
    size_t at = (size_t)(p - m->v);
    memmove(p, p + 1, (m->n - at - 1) * sizeof *p);
    m->n--;
    return true;
}

bool str_map_equal(const struct str_map *a, const struct str_map *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!str_eq(a->v[i].key, b->v[i].key) || !str_eq(a->v[i].value, b->v[i].value))
            return false;
    return true;
}

const struct quantity *quantity_map_get(const struct quantity_map *m, struct str key)
{
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = str_cmp(m->v[mid].key, key);
        if (c == 0)
            return &m->v[mid].value;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

void quantity_map_set(struct arena *a, struct quantity_map *m, struct str key,
                      struct quantity value)
{
    size_t at = 0;
    while (at < m->n && str_cmp(m->v[at].key, key) < 0)
        at++;
    if (at == m->n || !str_eq(m->v[at].key, key)) {
        m->v = list_grow(a, m->v, m->n, sizeof *m->v);
        memmove(&m->v[at + 1], &m->v[at], (m->n - at) * sizeof *m->v);
        m->n++;
    }
    m->v[at] = (struct quantity_pair){key, value};
}

bool str_list_has(const struct str_list *l, struct str s)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], s))
            return true;
    return false;
}

void str_list_push(struct arena *a, struct str_list *l, struct str s)
{
    *list_add(a, l) = s;
}

bool intstr_scaled(const struct intstr *v, int32_t total, bool round_up, int32_t *ret)
{
    if (!v->is_string) {
        *ret = v->i;
        return true;
    }
    struct str s = v->s;
    int64_t percent;
    if (!str_chop(&s, STR("%")) || !str_to_i64(s, &percent) || percent > INT32_MAX ||
        percent < INT32_MIN)
        return false;
    int64_t product = percent * total;
    int64_t scaled = product / 100;
    if (round_up && product % 100 > 0)
        scaled++;
    if (!round_up && product % 100 < 0)
        scaled--;
    *ret = (int32_t)scaled;
    return true;
}

static const struct {
    const char *unit;
    int64_t ns;
} duration_units[] = {
    {"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

/* One "1.5h" of a duration, consumed from *s. */
static bool duration_part(struct str *s, int64_t *ret_ns)
{
    uint64_t whole = 0;
    double fraction = 0, scale = 0.1;
    bool digits = false;
    size_t i = 0;
    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++, digits = true)
        if (__builtin_mul_overflow(whole, 10u, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(s->p[i] - '0'), &whole))
            return false;
    if (i < s->n && s->p[i] == '.')
        for (i++; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++, digits = true, scale /= 10)
            fraction += (s->p[i] - '0') * scale;
    *s = str_sub(*s, i, s->n);
    size_t unit_n = 0;
    while (unit_n < s->n && s->p[unit_n] != '.' && (s->p[unit_n] < '0' || s->p[unit_n] > '9'))
        unit_n++;
    struct str unit = str_sub(*s, 0, unit_n);
    *s = str_sub(*s, unit_n, s->n);
    for (size_t u = 0; digits && u < ARRAY_LEN(duration_units); u++) {
        if (!str_eqz(unit, duration_units[u].unit))
            continue;
        int64_t ns = duration_units[u].ns, product;
        if (whole > INT64_MAX || __builtin_mul_overflow((int64_t)whole, ns, &product) ||
            __builtin_add_overflow(product, (int64_t)(fraction * (double)ns + 0.5), &product))
            return false;
        *ret_ns = product;
        return true;
    }
    return false;
}

bool duration_parse(struct str s, int64_t *ret_ns)
{
    bool negative = str_skip(&s, STR("-"));
    if (!negative)
        (void)str_skip(&s, STR("+"));
    if (str_eq(s, STR("0"))) {
        *ret_ns = 0;
        return true;
    }
    int64_t total = 0, part;
    if (s.n == 0)
        return false;
    while (s.n)
        if (!duration_part(&s, &part) || __builtin_add_overflow(total, part, &total))
            return false;
    *ret_ns = negative ? -total : total;
    return true;
}

/* v / unit with up to nine decimals and no trailing zeros. */
static struct str decimal(struct arena *a, uint64_t v, uint64_t unit, int digits, const char *name)
{
    struct str s = arena_fmt(a, "%llu.%0*llu", (unsigned long long)(v / unit), digits,
                             (unsigned long long)(v % unit));
    while (str_chop(&s, STR("0")))
        continue;
    (void)str_chop(&s, STR("."));
    return arena_cat(a, s, str_z(name));
}

struct str duration_format(struct arena *a, int64_t ns)
{
    if (ns == 0)
        return STR("0s");
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    struct str text;
    if (v < 1000) {
        text = arena_fmt(a, "%lluns", (unsigned long long)v);
    } else if (v < 1000000) {
        text = decimal(a, v, 1000, 3, "\xc2\xb5s");
    } else if (v < 1000000000) {
        text = decimal(a, v, 1000000, 6, "ms");
    } else {
        uint64_t h = v / 3600000000000u, m = v / 60000000000u % 60;
        text = decimal(a, v % 60000000000u, 1000000000, 9, "s");
        if (h)
            text = arena_fmt(a, "%lluh%llum%.*s", (unsigned long long)h, (unsigned long long)m,
                             STR_ARG(text));
        else if (m)
            text = arena_fmt(a, "%llum%.*s", (unsigned long long)m, STR_ARG(text));
    }
    return ns < 0 ? arena_cat(a, STR("-"), text) : text;
}
