/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Patch, RFC 6902, and JSON Pointer, RFC 6901. */
#include "api/patch.h"
#include "api/tree.h"

/* Paths are longer than this only when somebody plays: messages show the beginning. */
enum { PATH_SHOWN_MAX = 1024 };
#define PATH_ARG(path) STR_ARG(str_sub((path), 0, PATH_SHOWN_MAX))

/* ---- JSON Pointer ---- */

/* One reference token, "~1" and "~0" undone. STR_NULL: the arena is full. */
static struct str unescape(struct arena *a, struct str token)
{
    if (str_index(token, '~') < 0)
        return token.p ? token : STR("");
    char *to = arena_try(a, token.n, 1);
    size_t n = 0;
    if (!to)
        return STR_NULL;
    for (size_t i = 0; i < token.n; i++) {
        bool escape = token.p[i] == '~' && i + 1 < token.n;
        if (escape && (token.p[i + 1] == '0' || token.p[i + 1] == '1'))
            to[n++] = token.p[++i] == '0' ? '~' : '/';
        else
            to[n++] = token.p[i];
    }
    return str_n(to, n);
}

/* Does the escaped token name this key? */
static bool token_is(struct str token, struct str key)
{
    size_t k = 0;
    for (size_t i = 0; i < token.n; i++, k++) {
        char c = token.p[i];
        if (c == '~' && i + 1 < token.n && (token.p[i + 1] == '0' || token.p[i + 1] == '1'))
            c = token.p[++i] == '0' ? '~' : '/';
        if (k >= key.n || key.p[k] != c)
            return false;
    }
    return k == key.n;
}

static struct json *pointer_step(const struct json *v, struct str token)
{
    uint64_t i;
    if (v->type == JSON_OBJECT)
        for (size_t m = 0; m < v->object.n; m++)
            if (token_is(token, v->object.v[m].key))
                return v->object.v[m].value;
    if (v->type != JSON_ARRAY || !str_to_u64(token, &i) || i >= v->array.n)
        return NULL;
    return token.n > 1 && token.p[0] == '0' ? NULL : v->array.v[i];
}

struct json *json_pointer(const struct json *doc, struct str pointer)
{
    struct str token;
    const struct json *v = doc;
    if (pointer.n == 0)
        return (struct json *)(uintptr_t)doc;
    if (!str_skip(&pointer, STR("/")))
        return NULL;
    while (v && str_next(&pointer, '/', &token))
        v = pointer_step(v, token);
    return (struct json *)(uintptr_t)v;
}

/* ---- operations ----
 *
 * The document is copied once (containers only); operations then edit the copy in place. Values
 * that enter it are copied too, so that no container stands in two places.
 *
 * Faults are texts: STR_NULL is success. */

#define OK STR_NULL

struct job {
    struct arena *a;
    struct json *doc;
    uint64_t work;   /* values looked at or moved */
    uint64_t copied; /* bytes added by `copy` */
    bool full;       /* the arena is */
};

/* Where a path leads: the member or element `key` of a container. container == NULL: nowhere;
 * depth == 0: the whole document. */
struct place {
    struct json *container;
    struct str key;
    uint32_t depth; /* containers around the value */
};

static void charge(struct job *j, uint64_t n)
{
    j->work += n + 1;
}

static struct str fault(struct job *j, const char *fmt, ...) PRINTF(2, 3);
static struct str fault(struct job *j, const char *fmt, ...)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(16));
    va_list ap;
    va_start(ap, fmt);
    buf_vfmt(&b, fmt, ap);
    va_end(ap);
    return b.failed ? STR("(message too long)") : tree_text(j->a, &b);
}

/* NULL: the arena is full, or the value is nested deeper than depth_max. */
static struct json *clone(struct job *j, const struct json *v, uint32_t depth_max)
{
    bool container = v->type == JSON_ARRAY || v->type == JSON_OBJECT;
    charge(j, 0);
    if (!container)
        return (struct json *)(uintptr_t)v;
    if (depth_max == 0)
        return NULL;
    size_t n = v->type == JSON_ARRAY ? v->array.n : v->object.n;
    struct json *to = v->type == JSON_ARRAY ? tree_array(j->a, n) : tree_object(j->a, n);
    j->full |= !to;
    for (size_t i = 0; to && i < n; i++) {
        const struct json *from = v->type == JSON_ARRAY ? v->array.v[i] : v->object.v[i].value;
        struct json *item = clone(j, from, depth_max - 1);
        if (!item)
            return NULL;
        if (v->type == JSON_ARRAY)
            to->array.v[to->array.n++] = item;
        else
            to->object.v[to->object.n++] = (struct json_member){v->object.v[i].key, item};
    }
    return to;
}

static uint32_t depth_of(struct job *j, const struct json *v)
{
    uint32_t deepest = 0;
    bool is_array = v->type == JSON_ARRAY;
    charge(j, 0);
    if (!is_array && v->type != JSON_OBJECT)
        return 0;
    for (size_t i = 0; i < (is_array ? v->array.n : v->object.n); i++) {
        uint32_t depth = depth_of(j, is_array ? v->array.v[i] : v->object.v[i].value);
        deepest = MAX(deepest, depth);
    }
    return deepest + 1;
}

/* Go's strconv.Atoi. */
static struct str parse_index(struct job *j, struct str key, int64_t *ret)
{
    struct str digits = key;
    bool negative = str_skip(&digits, STR("-"));
    if (!negative)
        str_skip(&digits, STR("+"));
    uint64_t n = 0;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            digits.n = 0;
        else if (n <= INT32_MAX)
            n = n * 10 + (uint64_t)(digits.p[i] - '0');
    }
    if (digits.n == 0)
        return fault(j, "strconv.Atoi: parsing \"%.*s\": invalid syntax", PATH_ARG(key));
    *ret = negative ? -(int64_t)n : (int64_t)n;
    return OK;
}

/* The element that key names among n; negative ones count from the end. */
static struct str resolve_index(struct job *j, struct str key, size_t n, size_t *ret)
{
    int64_t i = 0;
    struct str why = parse_index(j, key, &i);
    if (why.p)
        return why;
    if (i >= (int64_t)n || i < -(int64_t)n)
        return fault(j, "Unable to access invalid index: %lld: invalid index referenced",
                     (long long)i);
    *ret = (size_t)(i < 0 ? i + (int64_t)n : i);
    return OK;
}

static struct json_member *find_member(struct job *j, struct json *o, struct str key)
{
    for (size_t i = 0; i < o->object.n; i++)
        if (str_eq(o->object.v[i].key, key)) {
            charge(j, i);
            return &o->object.v[i];
        }
    charge(j, o->object.n);
    return NULL;
}

/* *ret == NULL: an absent member. */
static struct str place_get(struct job *j, const struct place *p, struct json **ret)
{
    if (p->depth == 0) {
        *ret = j->doc;
        return OK;
    }
    if (p->container->type == JSON_OBJECT) {
        struct json_member *m = find_member(j, p->container, p->key);
        *ret = m ? m->value : NULL;
        return OK;
    }
    size_t i = 0;
    struct str why = resolve_index(j, p->key, p->container->array.n, &i);
    *ret = why.p ? NULL : p->container->array.v[i];
    return why;
}

/* Room for one more in {v, n, room}; false: the arena is full. */
static bool make_room(struct job *j, void **v, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return true;
    size_t wanted = *room ? *room * 2 : 4;
    void *grown = arena_try(j->a, wanted, size);
    j->full |= !grown;
    if (!grown)
        return false;
    if (n)
        memcpy(grown, *v, n * size);
    *v = grown;
    *room = wanted;
    return true;
}

static struct str array_add(struct job *j, struct json *array, struct str key, struct json *v)
{
    size_t at = array->array.n;
    if (!str_eqz(key, "-")) {
        int64_t i;
        struct str why = parse_index(j, key, &i);
        if (why.p)
            return fault(j, "value was not a proper array index: '%.*s': %.*s", PATH_ARG(key),
                         STR_ARG(why));
        why = resolve_index(j, key, array->array.n + 1, &at);
        if (why.p)
            return why;
    }
    void *items = array->array.v;
    if (!make_room(j, &items, array->array.n, &array->array.room, sizeof(struct json *)))
        return OK;
    array->array.v = items;
    size_t behind = array->array.n - at;
    memmove(&array->array.v[at + 1], &array->array.v[at], behind * sizeof(struct json *));
    charge(j, behind / 8);
    array->array.v[at] = v;
    array->array.n++;
    return OK;
}

static struct str place_add(struct job *j, const struct place *p, struct json *v)
{
    if (p->depth == 0) {
        j->doc = v;
        return OK;
    }
    struct json *c = p->container;
    if (c->type == JSON_ARRAY)
        return array_add(j, c, p->key, v);
    struct json_member *m = find_member(j, c, p->key);
    if (m) {
        m->value = v;
        return OK;
    }
    void *members = c->object.v;
    if (!make_room(j, &members, c->object.n, &c->object.room, sizeof *c->object.v))
        return OK;
    c->object.v = members;
    c->object.v[c->object.n++] = (struct json_member){p->key, v};
    return OK;
}

static struct str place_remove(struct job *j, const struct place *p)
{
    struct json *c = p->container;
    if (c->type == JSON_OBJECT) {
        charge(j, c->object.n);
        if (json_del(c, p->key))
            return OK;
        return fault(j, "Unable to remove nonexistent key: %.*s: missing value", PATH_ARG(p->key));
    }
    size_t at = 0;
    struct str why = resolve_index(j, p->key, c->array.n, &at);
    if (why.p)
        return why;
    size_t behind = c->array.n - at - 1;
    memmove(&c->array.v[at], &c->array.v[at + 1], behind * sizeof(struct json *));
    charge(j, behind / 8);
    c->array.n--;
    return OK;
}

/* False: some container on the way is missing. The empty path is the whole document. */
static bool find_place(struct job *j, struct str path, struct place *ret)
{
    *ret = (struct place){0};
    if (path.n == 0)
        return true;
    struct str token;
    struct json *at = j->doc;
    if (!str_skip(&path, STR("/")))
        return false;
    while (str_next(&path, '/', &token)) {
        if (ret->depth && place_get(j, ret, &at).p)
            return false;
        if (!at || (at->type != JSON_OBJECT && at->type != JSON_ARRAY))
            return false;
        ret->container = at;
        ret->key = unescape(j->a, token);
        j->full |= !ret->key.p;
        ret->depth++;
    }
    return !j->full;
}

/* ---- the six operations ---- */

static struct json null_value = {.type = JSON_NULL};

struct op {
    const struct json *json;
    struct str path, from;
    bool has_path, has_from;
};

static struct json *op_value(const struct op *op)
{
    struct json *v = json_getz(op->json, "value");
    return v ? v : &null_value;
}

static struct str too_deep(struct job *j, struct str path)
{
    if (j->full)
        return OK;
    return fault(j, "value for path '%.*s' is nested too deep", PATH_ARG(path));
}

static struct str do_add(struct job *j, const struct op *op)
{
    struct place p;
    if (!op->has_path)
        return STR("add operation failed to decode path: missing value");
    if (!find_place(j, op->path, &p))
        return fault(j,
                     "add operation does not apply: doc is missing path: \"%.*s\": missing value",
                     PATH_ARG(op->path));
    struct json *v = clone(j, op_value(op), JSON_DEPTH_MAX - MIN(p.depth, JSON_DEPTH_MAX));
    if (!v)
        return too_deep(j, op->path);
    struct str why = place_add(j, &p, v);
    if (!why.p)
        return OK;
    return fault(j, "error in add for path: '%.*s': %.*s", PATH_ARG(op->path), STR_ARG(why));
}

static struct str do_remove(struct job *j, const struct op *op)
{
    struct place p;
    if (!op->has_path)
        return STR("remove operation failed to decode path: missing value");
    if (!find_place(j, op->path, &p) || p.depth == 0)
        return fault(
            j, "remove operation does not apply: doc is missing path: \"%.*s\": missing value",
            PATH_ARG(op->path));
    struct str why = place_remove(j, &p);
    if (!why.p)
        return OK;
    return fault(j, "error in remove for path: '%.*s': %.*s", PATH_ARG(op->path), STR_ARG(why));
}

static struct str replace_document(struct job *j, const struct op *op)
{
    const struct json *v = op_value(op);
    if (v->type != JSON_OBJECT && v->type != JSON_ARRAY)
        return STR("replace operation value must be object or array");
    struct json *doc = clone(j, v, JSON_DEPTH_MAX);
    if (!doc)
        return too_deep(j, op->path);
    j->doc = doc;
    return OK;
}

static struct str do_replace(struct job *j, const struct op *op)
{
    struct place p;
    struct json *old;
    size_t at = 0;
    if (!op->has_path)
        return STR("replace operation failed to decode path: operation missing path field: "
                   "missing value");
    if (op->path.n == 0)
        return replace_document(j, op);
    if (!find_place(j, op->path, &p))
        return fault(j,
                     "replace operation does not apply: doc is missing path: %.*s: missing value",
                     PATH_ARG(op->path));
    if (place_get(j, &p, &old).p)
        return fault(j, "replace operation does not apply: doc is missing key: %.*s: missing value",
                     PATH_ARG(op->path));
    struct json *v = clone(j, op_value(op), JSON_DEPTH_MAX - MIN(p.depth, JSON_DEPTH_MAX));
    if (!v)
        return too_deep(j, op->path);
    if (p.container->type == JSON_OBJECT)
        return place_add(j, &p, v);
    struct str why = resolve_index(j, p.key, p.container->array.n, &at);
    must(!why.p); /* place_get found it */
    p.container->array.v[at] = v;
    return OK;
}

/* Puts v at op->path: the second half of `move` and `copy`. */
static struct str put_at_path(struct job *j, const struct op *op, struct json *v, bool is_copy)
{
    struct place p;
    if (!find_place(j, op->path, &p))
        return fault(j,
                     "%s operation does not apply: doc is missing destination path: %.*s: "
                     "missing value",
                     is_copy ? "copy" : "move", PATH_ARG(op->path));
    if (p.depth + depth_of(j, v) > JSON_DEPTH_MAX)
        return too_deep(j, op->path);
    struct str why = place_add(j, &p, v);
    if (!why.p)
        return OK;
    if (is_copy)
        return fault(j, "error while adding value during copy: %.*s", STR_ARG(why));
    return fault(j, "error in move for path: '%.*s': %.*s", PATH_ARG(op->path), STR_ARG(why));
}

static struct str do_move(struct job *j, const struct op *op)
{
    struct place p;
    struct json *v;
    if (!op->has_from)
        return STR("move operation failed to decode from: operation, missing from field: "
                   "missing value");
    if (!find_place(j, op->from, &p) || p.depth == 0)
        return fault(j,
                     "move operation does not apply: doc is missing from path: %.*s: missing "
                     "value",
                     PATH_ARG(op->from));
    struct str why = place_get(j, &p, &v);
    if (!why.p)
        why = place_remove(j, &p);
    if (why.p)
        return fault(j, "error in move for path: '%.*s': %.*s", PATH_ARG(p.key), STR_ARG(why));
    if (!op->has_path)
        return STR("move operation failed to decode path: operation missing path field: missing "
                   "value");
    return put_at_path(j, op, v, false);
}

/* Counts the text of v against JSON_PATCH_COPY_MAX. */
static struct str count_copy(struct job *j, const struct json *v)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    json_write(&b, v);
    j->copied += b.failed ? BUF_CAP_DEFAULT : b.n;
    if (j->copied <= JSON_PATCH_COPY_MAX)
        return OK;
    return fault(j,
                 "Unable to complete the copy, the accumulated size increase of copy is %llu, "
                 "exceeding the limit %d",
                 (unsigned long long)j->copied, JSON_PATCH_COPY_MAX);
}

static struct str do_copy(struct job *j, const struct op *op)
{
    struct place p;
    struct json *v;
    if (!op->has_from)
        return STR("copy operation failed to decode from: operation, missing from field: "
                   "missing value");
    if (!find_place(j, op->from, &p) || p.depth == 0)
        return fault(j,
                     "copy operation does not apply: doc is missing from path: %.*s: missing "
                     "value",
                     PATH_ARG(op->from));
    struct str why = place_get(j, &p, &v);
    if (why.p)
        return fault(j, "error in copy for from: '%.*s': %.*s", PATH_ARG(op->from), STR_ARG(why));
    if (!op->has_path)
        return STR("copy operation failed to decode path: missing value");
    v = v ? v : &null_value;
    why = count_copy(j, v);
    if (why.p)
        return why;
    v = clone(j, v, JSON_DEPTH_MAX);
    return v ? put_at_path(j, op, v, true) : too_deep(j, op->path);
}

static struct str do_test(struct job *j, const struct op *op)
{
    struct place p;
    struct json *v;
    if (!op->has_path)
        return STR("test operation failed to decode path: operation missing path field: missing "
                   "value");
    if (!find_place(j, op->path, &p))
        return fault(j, "test operation does not apply: is missing path: %.*s: missing value",
                     PATH_ARG(op->path));
    struct str why = place_get(j, &p, &v);
    if (why.p)
        return fault(j, "error in test for path: '%.*s': %.*s", PATH_ARG(op->path), STR_ARG(why));
    if (json_eq(v ? v : &null_value, op_value(op)))
        return OK;
    return fault(j, "testing value %.*s failed: test failed", PATH_ARG(op->path));
}

static struct str do_op(struct job *j, const struct json *json)
{
    static const struct {
        const char *name;
        struct str (*run)(struct job *j, const struct op *op);
    } verbs[] = {
        {"add", do_add},   {"remove", do_remove}, {"replace", do_replace},
        {"move", do_move}, {"copy", do_copy},     {"test", do_test},
    };
    struct json *verb = json_getz(json, "op"), *path = json_getz(json, "path");
    struct json *from = json_getz(json, "from");
    struct op op = {.json = json, .path = json_str(path), .from = json_str(from)};
    op.has_path = path && path->type == JSON_STRING;
    op.has_from = from && from->type == JSON_STRING;
    struct str name = verb && verb->type == JSON_STRING ? verb->string : STR("unknown");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (str_eqz(name, verbs[i].name))
            return verbs[i].run(j, &op);
    return fault(j, "Unexpected kind: %.*s", PATH_ARG(name));
}

int patch_json(struct arena *a, const struct json *doc, const struct json *patch, struct json **ret,
               struct err *e)
{
    struct job j = {.a = a};
    must(patch->type == JSON_ARRAY);
    if (patch->array.n > JSON_PATCH_OPS_MAX)
        return err_set(e, ERR_TOO_LARGE,
                       "Request entity too large: The allowed maximum operations in a JSON patch "
                       "is %d, got %zu",
                       JSON_PATCH_OPS_MAX, patch->array.n);
    j.doc = clone(&j, doc, JSON_DEPTH_MAX);
    for (size_t i = 0; j.doc && i < patch->array.n && !j.full; i++) {
        struct str why = do_op(&j, patch->array.v[i]);
        if (why.p) {
            int rc = err_set(e, ERR_INVALID, PATCH_REJECTED);
            err_cause(e, STR("patch"), "FieldValueInvalid", "%.*s", STR_ARG(why));
            return rc;
        }
        if (j.work > JSON_PATCH_WORK_MAX)
            return err_set(e, ERR_LIMIT, "the JSON patch takes more than %d steps",
                           JSON_PATCH_WORK_MAX);
    }
    if (!j.doc || j.full)
        return err_set(e, ERR_LIMIT, "the patched object is too large");
    *ret = j.doc;
    return 0;
}
