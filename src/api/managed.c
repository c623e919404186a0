/* SPDX-License-Identifier: Apache-2.0 */
#include "api/managed.h"

#include "api/tree.h"

/* ---- reading ---- */

bool managed_is_reset(const struct json *entries)
{
    if (!entries || entries->type != JSON_ARRAY)
        return false;
    if (entries->array.n != 1)
        return entries->array.n == 0;
    const struct json *only = entries->array.v[0];
    return only->type == JSON_OBJECT && only->object.n == 0;
}

static int check_entry(const struct json *entry, size_t i, bool *ret_applied, struct err *e)
{
    struct str operation = json_str(json_getz(entry, "operation"));
    struct str fields_type = json_str(json_getz(entry, "fieldsType"));
    *ret_applied = str_eqz(operation, "Apply");
    if (!*ret_applied && !str_eqz(operation, "Update"))
        return err_set(e, ERR_BAD_REQUEST, "operation must be `Apply` or `Update`");
    if (str_empty(json_str(json_getz(entry, "apiVersion"))))
        return err_set(e, ERR_BAD_REQUEST, "apiVersion must not be empty");
    if (str_empty(fields_type))
        return err_set(e, ERR_BAD_REQUEST, "missing fieldsType in managed fields entry %zu", i);
    if (!str_eqz(fields_type, "FieldsV1"))
        return err_set(e, ERR_BAD_REQUEST,
                       "invalid fieldsType \"%.*s\" in managed fields entry %zu",
                       STR_ARG(str_sub(fields_type, 0, 256)), i);
    return 0;
}

static int read_entry(struct fields_pool *pool, const struct json *entry, size_t i, bool checked,
                      struct manager *m, struct err *e)
{
    int rc = check_entry(entry, i, &m->applied, e);
    if (rc)
        return rc;
    m->name = json_str(json_getz(entry, "manager"));
    m->api_version = json_str(json_getz(entry, "apiVersion"));
    m->subresource = json_str(json_getz(entry, "subresource"));
    m->has_time = wall_parse(json_str(json_getz(entry, "time")), &m->time);
    if (checked) { /* written anew, in canonical form */
        m->parsed = true;
        return fieldset_parse(pool, json_getz(entry, "fieldsV1"), &m->set, e);
    }
    m->json = entry;
    m->fields = json_getz(entry, "fieldsV1");
    return 0;
}

int managed_decode(struct fields_pool *pool, const struct json *entries, bool checked,
                   struct managed *ret, struct err *e)
{
    size_t n = entries && entries->type == JSON_ARRAY ? entries->array.n : 0;
    *ret = (struct managed){arena_try(pool->arena, n + 1, sizeof *ret->v), 0, n + 1};
    if (!ret->v) {
        pool->full = true;
        return err_set(e, ERR_LIMIT, "managed fields are too large");
    }
    for (size_t i = 0; i < n; i++) {
        struct manager m = {0};
        int rc = read_entry(pool, entries->array.v[i], i, checked, &m, e);
        if (rc)
            return rc;
        struct manager *old = managed_find(ret, &m);
        *(old ? old : &ret->v[ret->n++]) = m;
    }
    return 0;
}

struct fieldset managed_set(struct fields_pool *pool, struct manager *m)
{
    if (m->parsed)
        return m->set;
    struct err ignored = ERR_INIT(pool->arena);
    m->parsed = true;
    if (fieldset_parse(pool, m->fields, &m->set, &ignored) != 0)
        m->set = (struct fieldset){NULL, 0};
    return m->set;
}

void managed_put(struct manager *m, struct fieldset set)
{
    bool same = m->parsed && m->set.v == set.v && m->set.n == set.n;
    m->set = set;
    m->parsed = true;
    if (!same)
        m->json = m->fields = NULL;
}

void managed_set_time(struct manager *m, struct wall time)
{
    m->has_time = true;
    m->time = time;
    m->json = NULL;
}

/* ---- asking without reading ---- */

static bool is_member(const struct json *node)
{
    return node->type != JSON_OBJECT || node->object.n == 0 || json_getz(node, ".");
}

enum { PROBES_FEW = 4 };

/* Looks steps up in one level of FieldsV1. For a few of them a table does not pay. */
struct probe {
    const struct json *fields;
    struct member_index table;
    bool few;
    struct buf *key;
};

static struct json *find_step(struct probe *p, const struct step *step)
{
    buf_clear(p->key);
    step_key(p->key, step);
    if (p->few)
        return json_get(p->fields, buf_view(p->key));
    struct json_member *m = member_index_find(&p->table, buf_view(p->key));
    return m ? m->value : NULL;
}

static bool json_has_any(const struct json *fields, const struct fieldset *s, struct buf *key)
{
    struct probe p = {.fields = fields, .few = s->n <= PROBES_FEW, .key = key};
    bool found = false;
    member_index_init(&p.table, fields);
    for (size_t i = 0; i < s->n && !found; i++) {
        const struct json *node = find_step(&p, &s->v[i].step);
        if (node)
            found = (s->v[i].member && is_member(node)) ||
                    (s->v[i].below && json_has_any(node, s->v[i].below, key));
    }
    member_index_fini(&p.table);
    return found;
}

static bool json_has_all(const struct json *fields, const struct fieldset *s, struct buf *key)
{
    struct probe p = {.fields = fields, .few = s->n <= PROBES_FEW, .key = key};
    bool all = true;
    member_index_init(&p.table, fields);
    for (size_t i = 0; i < s->n && all; i++) {
        const struct json *node = find_step(&p, &s->v[i].step);
        all = node && (!s->v[i].member || is_member(node)) &&
              (!s->v[i].below || json_has_all(node, s->v[i].below, key));
    }
    member_index_fini(&p.table);
    return all;
}

static bool set_has_any(const struct fieldset *set, const struct fieldset *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct field_node *node = fieldset_find(set, &s->v[i].step);
        if (node && node->member && s->v[i].member)
            return true;
        if (node && node->below && s->v[i].below && set_has_any(node->below, s->v[i].below))
            return true;
    }
    return false;
}

static bool set_has_all(const struct fieldset *set, const struct fieldset *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct field_node *node = fieldset_find(set, &s->v[i].step);
        if (!node || (s->v[i].member && !node->member))
            return false;
        if (s->v[i].below && (!node->below || !set_has_all(node->below, s->v[i].below)))
            return false;
    }
    return true;
}

bool managed_has_any(struct manager *m, const struct fieldset *s)
{
    CLEANUP(buf_fini) struct buf key = BUF_INIT(BUF_CAP_DEFAULT);
    return m->parsed ? set_has_any(&m->set, s) : json_has_any(m->fields, s, &key);
}

bool managed_has_all(struct manager *m, const struct fieldset *s)
{
    CLEANUP(buf_fini) struct buf key = BUF_INIT(BUF_CAP_DEFAULT);
    return m->parsed ? set_has_all(&m->set, s) : json_has_all(m->fields, s, &key);
}

/* ---- changing ---- */

static bool same_manager(const struct manager *a, const struct manager *b)
{
    return a->applied == b->applied && str_eq(a->name, b->name) &&
           str_eq(a->subresource, b->subresource) &&
           (a->applied || str_eq(a->api_version, b->api_version));
}

struct manager *managed_find(const struct managed *m, const struct manager *like)
{
    for (size_t i = 0; i < m->n; i++)
        if (same_manager(&m->v[i], like))
            return &m->v[i];
    return NULL;
}

struct manager *managed_add(struct fields_pool *pool, struct managed *m, const struct manager *like)
{
    if (m->n == m->room) {
        struct manager *v = arena_try(pool->arena, m->room * 2 + 1, sizeof *v);
        pool->full |= !v;
        if (!v)
            return NULL;
        if (m->n)
            memcpy(v, m->v, m->n * sizeof *v);
        m->v = v;
        m->room = m->room * 2 + 1;
    }
    m->v[m->n] = *like;
    return &m->v[m->n++];
}

static bool has_fields(struct manager *m)
{
    if (m->parsed)
        return !fieldset_empty(&m->set);
    return m->fields && m->fields->type == JSON_OBJECT && m->fields->object.n > 0;
}

void managed_drop_empty(struct fields_pool *pool, struct managed *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        if (has_fields(&m->v[i]))
            m->v[n++] = m->v[i];
    m->n = n;
}

/* ---- the cap ---- */

/* Identifies a manager as upstream does, for orders that clients can see. */
int managed_cmp(const struct manager *a, const struct manager *b)
{
    int c = str_cmp(a->name, b->name);
    c = c ? c : (int)b->applied - (int)a->applied;
    c = c || a->applied ? c : str_cmp(a->api_version, b->api_version);
    return c ? c : str_cmp(a->subresource, b->subresource);
}

static int64_t seconds(const struct manager *m)
{
    return m->has_time ? m->time.s : 0;
}

static int by_age(const void *a, const void *b)
{
    const struct manager *x = *(struct manager *const *)a, *y = *(struct manager *const *)b;
    if (seconds(x) != seconds(y))
        return seconds(x) < seconds(y) ? -1 : 1;
    return managed_cmp(x, y);
}

static void become_bundle(struct manager *m)
{
    m->name = STR(MANAGED_BUNDLE);
    m->subresource = STR("");
    m->json = NULL;
}

/* Moves m's fields into the bundle of its version. first is the oldest updater of that version,
 * which becomes the bundle when there is none yet. False: m is the bundle. */
static bool bundle(struct fields_pool *pool, struct managed *all, struct manager *first,
                   struct manager *m)
{
    const struct manager like = {.name = STR(MANAGED_BUNDLE), .api_version = m->api_version};
    struct manager *to = managed_find(all, &like);
    struct fieldset theirs = managed_set(pool, m);
    if (!to) {
        managed_set(pool, first);
        become_bundle(first);
        to = first;
    }
    if (to == m)
        return false;
    struct fieldset ours = managed_set(pool, to);
    managed_put(to, fieldset_union(pool, &theirs, &ours));
    to->json = NULL;
    to->has_time = m->has_time;
    to->time = m->time;
    managed_put(m, (struct fieldset){NULL, 0});
    return true;
}

static struct manager *first_of_version(struct manager **v, size_t n, const struct manager *m)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(v[i]->api_version, m->api_version))
            return v[i];
    return NULL;
}

void managed_cap(struct fields_pool *pool, struct managed *m)
{
    size_t n = 0;
    struct manager **updaters = arena_try(pool->arena, m->n, sizeof *updaters);
    pool->full |= !updaters;
    for (size_t i = 0; updaters && i < m->n; i++)
        if (!m->v[i].applied)
            updaters[n++] = &m->v[i];
    if (n <= MANAGED_UPDATERS_MAX)
        return;
    qsort(updaters, n, sizeof(struct manager *), by_age);
    size_t left = n;
    for (size_t i = 0; i < n && left > MANAGED_UPDATERS_MAX; i++) {
        struct manager *first = first_of_version(updaters, i, updaters[i]);
        left -= first && bundle(pool, m, first, updaters[i]);
    }
    managed_drop_empty(pool, m);
}

/* ---- writing ---- */

static int by_place(const void *a, const void *b)
{
    const struct manager *x = a, *y = b;
    if (x->applied != y->applied)
        return x->applied ? -1 : 1;
    if (seconds(x) != seconds(y))
        return seconds(x) < seconds(y) ? -1 : 1;
    int c = str_cmp(x->name, y->name);
    c = c ? c : str_cmp(x->api_version, y->api_version);
    return c ? c : str_cmp(x->subresource, y->subresource);
}

static void set_text(struct fields_pool *pool, struct tree_edit *ed, const char *key, struct str s)
{
    if (str_empty(s))
        return;
    struct json *v = tree_string(pool->arena, s);
    pool->full |= !v;
    if (v)
        tree_edit_set(ed, str_z(key), v);
}

static struct json *encode_entry(struct fields_pool *pool, struct manager *m)
{
    enum { MEMBERS = 7 };
    struct tree_edit ed;
    if (m->json)
        return (struct json *)(uintptr_t)m->json;
    if (!tree_edit_init(&ed, pool->arena, NULL, MEMBERS)) {
        pool->full = true;
        return NULL;
    }
    set_text(pool, &ed, "manager", m->name);
    set_text(pool, &ed, "operation", m->applied ? STR("Apply") : STR("Update"));
    set_text(pool, &ed, "apiVersion", m->api_version);
    char *time = m->has_time ? arena_try(pool->arena, WALL_TEXT_MAX, 1) : NULL;
    if (time)
        set_text(pool, &ed, "time", str_n(time, wall_format(time, m->time)));
    set_text(pool, &ed, "fieldsType", STR("FieldsV1"));
    struct json *kept = (struct json *)(uintptr_t)m->fields;
    tree_edit_set(&ed, STR("fieldsV1"), kept ? kept : fieldset_json(pool, &m->set));
    set_text(pool, &ed, "subresource", m->subresource);
    return tree_edit_done(&ed);
}

struct json *managed_encode(struct fields_pool *pool, struct managed *m)
{
    managed_drop_empty(pool, m);
    if (m->n == 0)
        return NULL;
    qsort(m->v, m->n, sizeof *m->v, by_place);
    struct json *to = tree_array(pool->arena, m->n);
    pool->full |= !to;
    for (size_t i = 0; to && i < m->n; i++) {
        struct json *entry = encode_entry(pool, &m->v[i]);
        if (entry)
            to->array.v[to->array.n++] = entry;
    }
    return to;
}

/* ---- names ---- */

void managed_print(struct buf *b, const struct manager *m)
{
    json_put_string(b, m->name);
    if (!str_empty(m->subresource)) {
        buf_z(b, " with subresource ");
        json_put_string(b, m->subresource);
    }
    if (!m->applied) {
        buf_z(b, " using ");
        buf_str(b, m->api_version);
    }
}

/* Bytes of the character at the start of s; 0: not UTF-8. */
static size_t character(struct str s)
{
    for (size_t n = 1; n <= 4 && n <= s.n; n++)
        if (str_is_utf8(str_sub(s, 0, n)))
            return n;
    return 0;
}

static uint32_t code_point(const char *p, size_t n)
{
    static const uint8_t head_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)p[0] & head_bits[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

/* Go's unicode.IsPrint, but for rare scripts' unassigned places: no controls, no spaces other than
 * ' ', no format characters, nothing for private use. */
static bool is_printable(uint32_t c)
{
    static const struct {
        uint32_t from, to;
    } gaps[] = {
        {0, 0x1f},        {0x7f, 0xa0},     {0xad, 0xad},       {0x600, 0x605},
        {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f},   {0x2028, 0x202f},
        {0x205f, 0x206f}, {0x3000, 0x3000}, {0xe000, 0xf8ff},   {0xfeff, 0xfeff},
        {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe00ff}, {0xe01f0, 0x10ffff},
    };
    for (size_t i = 0; i < ARRAY_LEN(gaps); i++)
        if (c >= gaps[i].from && c <= gaps[i].to)
            return false;
    return true;
}

struct str managed_name(struct arena *a, struct str field_manager, struct str user_agent)
{
    struct str product, rest;
    if (!str_empty(field_manager))
        return field_manager;
    str_cut(user_agent, '/', &product, &rest);
    char *to = arena_raw(a, MANAGED_NAME_MAX);
    size_t n = 0, step;
    for (size_t i = 0; i < product.n; i += step) {
        struct str left = str_sub(product, i, product.n);
        size_t length = character(left);
        struct str c = length ? str_sub(left, 0, length) : STR("\xef\xbf\xbd");
        step = length ? length : 1;
        if (!is_printable(code_point(c.p, c.n)))
            continue;
        if (n + c.n > MANAGED_NAME_MAX)
            break;
        memcpy(to + n, c.p, c.n);
        n += c.n;
    }
    return str_n(to, n);
}
