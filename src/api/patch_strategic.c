/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strategic merge patch.
 *
 * A merge patch that knows the type: lists of objects merge by a key, lists of scalars as sets.
 * Members whose name begins with '$' are directives:
 *
 *   $patch                       what to do with this object: replace, delete (in a keyed list:
 *                                delete the element, replace the whole list)
 *   $retainKeys                  drop all members but these, then merge
 *   $deleteFromPrimitiveList/x   values to remove from the list x
 *   $setElementOrder/x           order of the elements of list x; elements that the patch does not
 *                                know keep their place relative to their neighbours
 */
#include "api/patch.h"
#include "api/tree.h"

#define DELETE_PREFIX "$deleteFromPrimitiveList"
#define ORDER_PREFIX  "$setElementOrder"
#define RETAIN_KEYS   "$retainKeys"
#define DIRECTIVE     "$patch"

/* What is known of a value: the descriptor of its fields (values, when it is a map of objects);
 * NULL: nothing. */
struct type {
    const struct desc *desc;
    bool is_map;
};

/* What is known of a member. */
struct member_type {
    struct type type; /* of the member, of its elements when it is a list */
    const char *key;  /* merge key, "" for sets of scalars */
    bool merge;       /* a list that merges */
    bool replace;     /* an object that does not */
};

struct job {
    struct arena *a;
    struct err *e;
};

/* ---- errors: all return NULL ---- */

static struct json *full(struct job *j)
{
    err_set(j->e, ERR_LIMIT, "the patched object is too large");
    return NULL;
}

static struct json *no_merge_key(struct job *j, const struct json *item, const char *key)
{
    err_set(j->e, ERR_BAD_REQUEST, "map: %.*s does not contain declared merge key: %s",
            STR_ARG(tree_go_text(j->a, item)), key);
    return NULL;
}

static struct json *bad_type(struct job *j, enum json_type wanted, const struct json *v)
{
    const struct json expected = {.type = wanted};
    err_set(j->e, ERR_BAD_REQUEST, "expected a %s, but received a %s", tree_go_type(&expected),
            tree_go_type(v));
    return NULL;
}

static struct json *bad_directive(struct job *j, const struct json *directive,
                                  const struct json *item)
{
    err_set(j->e, ERR_BAD_REQUEST, "unknown patch type: %.*s in map: %.*s",
            STR_ARG(tree_go_text(j->a, directive)), STR_ARG(tree_go_text(j->a, item)));
    return NULL;
}

static struct json *bad_format(struct job *j, const char *of)
{
    err_set(j->e, ERR_BAD_REQUEST, "invalid patch format of %s", of);
    return NULL;
}

/* ---- types ---- */

static struct member_type look_up(struct type t, struct str key)
{
    if (t.is_map || !t.desc)
        return (struct member_type){.type = {t.is_map ? t.desc : NULL, false}, .key = ""};
    const struct field *f = desc_field(t.desc, key);
    if (!f)
        return (struct member_type){.key = ""};
    struct member_type m = {.key = ""};
    if (f->kind == FK_MESSAGE && f->message->encoding == ENC_PLAIN)
        m.type = (struct type){f->message, f->shape == SHAPE_MAP};
    if (f->ext) {
        m.merge = f->ext->patch_merge;
        m.replace = f->ext->patch_replace;
        m.key = f->ext->patch_merge_key ? f->ext->patch_merge_key : "";
    }
    return m;
}

static bool is_directive(const struct json *v, const char *word)
{
    return v->type == JSON_STRING && str_eqz(v->string, word);
}

static const struct json *directive_of(const struct json *item)
{
    return json_getz(item, DIRECTIVE);
}

/* ---- finding list elements by merge key (lists of objects) or value (lists of scalars) ---- */

/* What identifies an element: its merge key's value, or itself. NULL when it has none. */
static const struct json *identity(const struct json *item, const char *key)
{
    return key[0] ? json_getz(item, key) : item;
}

static bool is_plain_integer(struct str number)
{
    str_skip(&number, STR("-"));
    for (size_t i = 0; i < number.n; i++)
        if (number.p[i] < '0' || number.p[i] > '9')
            return false;
    return true;
}

/* A text that is the same for equal scalars of one type; one text for all lists and objects. */
static struct str scalar_text(struct arena *a, const struct json *v)
{
    enum { DIGITS_MAX = 24 };
    int64_t i;
    if (v->type == JSON_STRING)
        return v->string;
    if (v->type == JSON_BOOL)
        return v->boolean ? STR("true") : STR("false");
    if (v->type != JSON_NUMBER)
        return v->type == JSON_NULL ? STR("null") : STR("container");
    if (is_plain_integer(v->number) || !json_number_i64(v->number, &i))
        return v->number;
    char *digits = arena_try(a, DIGITS_MAX, 1);
    if (!digits)
        return v->number;
    return str_n(digits, (size_t)snprintf(digits, DIGITS_MAX, "%lld", (long long)i));
}

/* Position of the first element with each identity. */
struct order {
    struct map strings, others; /* scalar_text -> element */
    struct json **v;
    size_t n;
    const char *key;
};

static void order_fini(struct order *o)
{
    map_fini(&o->strings);
    map_fini(&o->others);
}

static struct json **order_find(struct job *j, const struct order *o, const struct json *item)
{
    const struct json *id = identity(item, o->key);
    if (!id)
        return NULL;
    return map_get(id->type == JSON_STRING ? &o->strings : &o->others, scalar_text(j->a, id));
}

static void order_add(struct job *j, struct order *o, struct json **item)
{
    const struct json *id = identity(*item, o->key);
    if (id && !order_find(j, o, *item))
        map_put(id->type == JSON_STRING ? &o->strings : &o->others, scalar_text(j->a, id), item);
}

static void order_init(struct job *j, struct order *o, const struct json *list, const char *key)
{
    *o = (struct order){MAP_INIT_BORROWED, MAP_INIT_BORROWED, list->array.v, list->array.n, key};
    for (size_t i = 0; i < o->n; i++)
        order_add(j, o, &o->v[i]);
}

static size_t order_position(struct job *j, const struct order *o, const struct json *item)
{
    struct json **at = order_find(j, o, item);
    return at ? (size_t)(at - o->v) : SIZE_MAX;
}

/* ---- the order of a merged list ---- */

struct placed {
    struct json *item;
    size_t wanted; /* position in the order that rules its half */
    size_t server; /* position in the live list */
    size_t seq;    /* to keep equals in sequence */
};

static int by_wanted(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->wanted != y->wanted)
        return x->wanted < y->wanted ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Takes from both halves in turn, a server item before a patch item when it stood before it. */
static void interleave(const struct placed *server, size_t n_server, const struct placed *patch,
                       size_t n_patch, struct json *to)
{
    size_t s = 0, p = 0;
    while (s < n_server || p < n_patch) {
        bool take_server = p == n_patch;
        if (s < n_server && p < n_patch)
            take_server = patch[p].server != SIZE_MAX && server[s].server < patch[p].server;
        to->array.v[to->array.n++] = take_server ? server[s++].item : patch[p++].item;
    }
}

/* merged, with the elements that by_patch names in its order and the others in the order of the
 * live list. */
static struct json *arrange(struct job *j, const struct json *merged, const struct json *by_patch,
                            const struct json *live, const char *key)
{
    size_t n = merged->array.n, n_patch = 0, n_server = 0;
    CLEANUP(order_fini) struct order patch_order, live_order;
    order_init(j, &patch_order, by_patch, key);
    order_init(j, &live_order, live, key);
    struct placed *patch = arena_try(j->a, n, sizeof *patch);
    struct placed *server = arena_try(j->a, n, sizeof *server);
    struct json *to = tree_array(j->a, n);
    if (!patch || !server || !to)
        return full(j);
    for (size_t i = 0; i < n; i++) {
        struct json *item = merged->array.v[i];
        size_t in_patch = order_position(j, &patch_order, item);
        size_t in_live = order_position(j, &live_order, item);
        if (in_patch != SIZE_MAX)
            patch[n_patch++] = (struct placed){item, in_patch, in_live, i};
        else
            server[n_server++] = (struct placed){item, in_live, in_live, i};
    }
    qsort(patch, n_patch, sizeof *patch, by_wanted);
    qsort(server, n_server, sizeof *server, by_wanted);
    interleave(server, n_server, patch, n_patch, to);
    return to;
}

/* ---- directives left over in values that enter the document ---- */

/* v without objects that carry $patch; NULL: v itself is one. */
static struct json *without_directives(struct job *j, struct json *v, bool *ret_full);

static struct json *array_without_directives(struct job *j, const struct json *v, bool *ret_full)
{
    struct json *to = tree_array(j->a, v->array.n);
    *ret_full |= !to;
    for (size_t i = 0; to && i < v->array.n; i++) {
        struct json *item = without_directives(j, v->array.v[i], ret_full);
        if (item)
            to->array.v[to->array.n++] = item;
    }
    return to;
}

static struct json *without_directives(struct job *j, struct json *v, bool *ret_full)
{
    if (v->type == JSON_ARRAY)
        return array_without_directives(j, v, ret_full);
    if (v->type != JSON_OBJECT)
        return v;
    if (directive_of(v))
        return NULL;
    struct json *to = tree_object(j->a, v->object.n);
    *ret_full |= !to;
    for (size_t i = 0; to && i < v->object.n; i++) {
        const struct json_member *m = &v->object.v[i];
        struct json *kept = without_directives(j, m->value, ret_full);
        if (kept)
            to->object.v[to->object.n++] = (struct json_member){m->key, kept};
    }
    return to;
}

/* ---- lists ---- */

static struct json *merge_object(struct job *j, struct type t, struct json *doc,
                                 struct json *patch);

/* Elements of both lists must be of one type, and no lists. */
static bool check_elements(struct job *j, const struct json *doc, const struct json *patch)
{
    const struct json *lists[] = {doc, patch};
    enum json_type type = JSON_BAD;
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        for (size_t i = 0; i < lists[l]->array.n; i++) {
            enum json_type its = lists[l]->array.v[i]->type;
            if (its == JSON_ARRAY) {
                err_set(j->e, ERR_INVALID, PATCH_REJECTED);
                err_cause(j->e, STR("patch"), "FieldValueInvalid",
                          "lists of lists are not supported");
                return false;
            }
            if (its == JSON_NULL || (type != JSON_BAD && its != type)) {
                err_set(j->e, ERR_BAD_REQUEST, "list element types are not identical: [%.*s %.*s]",
                        STR_ARG(tree_go_text(j->a, doc)), STR_ARG(tree_go_text(j->a, patch)));
                return false;
            }
            type = its;
        }
    }
    return true;
}

/* The elements of list that are (not) in `by`. */
static struct json *select_elements(struct job *j, const struct json *list, const struct json *by,
                                    const char *key, bool present)
{
    CLEANUP(order_fini) struct order index;
    order_init(j, &index, by, key);
    struct json *to = tree_array(j->a, list->array.n);
    if (!to)
        return full(j);
    for (size_t i = 0; i < list->array.n; i++)
        if ((order_find(j, &index, list->array.v[i]) != NULL) == present)
            to->array.v[to->array.n++] = list->array.v[i];
    return to;
}

static struct json *merge_scalars(struct job *j, const struct json *doc, const struct json *patch)
{
    struct json *both = tree_array(j->a, doc->array.n + patch->array.n);
    struct json *unique = tree_array(j->a, doc->array.n + patch->array.n);
    if (!both || !unique)
        return full(j);
    for (size_t i = 0; i < doc->array.n; i++)
        both->array.v[both->array.n++] = doc->array.v[i];
    for (size_t i = 0; i < patch->array.n; i++)
        both->array.v[both->array.n++] = patch->array.v[i];
    CLEANUP(order_fini) struct order index;
    order_init(j, &index, both, "");
    for (size_t i = 0; i < both->array.n; i++)
        if (order_position(j, &index, both->array.v[i]) == i)
            unique->array.v[unique->array.n++] = both->array.v[i];
    return arrange(j, unique, patch, doc, "");
}

/* What the elements with $patch ask for: ret_delete lists those to delete, ret_plain the others. */
static bool sort_out(struct job *j, const struct json *patch, const char *key, bool *ret_replace,
                     struct json **ret_delete, struct json **ret_plain)
{
    *ret_replace = false;
    *ret_delete = tree_array(j->a, patch->array.n);
    *ret_plain = tree_array(j->a, patch->array.n);
    if (!*ret_delete || !*ret_plain)
        return full(j);
    for (size_t i = 0; i < patch->array.n; i++) {
        struct json *item = patch->array.v[i];
        const struct json *directive = directive_of(item);
        struct json *to = *ret_plain;
        if (directive && is_directive(directive, "replace")) {
            *ret_replace = true;
            continue;
        }
        if (directive && is_directive(directive, "merge")) {
            err_set(j->e, ERR_BAD_REQUEST, "merging lists cannot yet be specified in the patch");
            return false;
        }
        if (directive && !is_directive(directive, "delete"))
            return bad_directive(j, directive, item);
        if (directive)
            to = *ret_delete;
        if (!json_getz(item, key))
            return no_merge_key(j, item, key);
        to->array.v[to->array.n++] = item;
    }
    return true;
}

static bool all_have_key(struct job *j, const struct json *list, const char *key)
{
    for (size_t i = 0; i < list->array.n; i++)
        if (list->array.v[i]->type != JSON_OBJECT)
            return bad_type(j, JSON_OBJECT, list->array.v[i]);
        else if (!json_getz(list->array.v[i], key))
            return no_merge_key(j, list->array.v[i], key);
    return true;
}

/* doc with each element of patch merged into its counterpart, or added at the end. */
static struct json *merge_elements(struct job *j, struct type t, const struct json *doc,
                                   const struct json *patch, const char *key)
{
    struct json *to = tree_array(j->a, doc->array.n + patch->array.n);
    if (!to)
        return full(j);
    for (size_t i = 0; i < doc->array.n; i++)
        to->array.v[to->array.n++] = doc->array.v[i];
    CLEANUP(order_fini) struct order index;
    order_init(j, &index, to, key);
    for (size_t i = 0; i < patch->array.n; i++) {
        struct json *item = patch->array.v[i];
        struct json **old = order_find(j, &index, item);
        if (!old) {
            to->array.v[to->array.n] = item;
            order_add(j, &index, &to->array.v[to->array.n++]);
            continue;
        }
        *old = merge_object(j, t, *old, item);
        if (!*old)
            return NULL;
    }
    return to;
}

static struct json *merge_objects(struct job *j, const struct member_type *m, struct json *doc,
                                  const struct json *patch)
{
    bool replace;
    struct json *gone, *plain;
    if (!m->key[0]) {
        err_set(j->e, ERR_BAD_REQUEST, "cannot merge lists without merge key for struct");
        return NULL;
    }
    if (!sort_out(j, patch, m->key, &replace, &gone, &plain))
        return NULL;
    if (replace)
        return plain;
    if (!all_have_key(j, doc, m->key))
        return NULL;
    if (gone->array.n)
        doc = select_elements(j, doc, gone, m->key, false);
    struct json *merged = doc ? merge_elements(j, m->type, doc, plain, m->key) : NULL;
    return merged ? arrange(j, merged, plain, doc, m->key) : NULL;
}

static struct json *merge_list(struct job *j, const struct member_type *m, struct json *doc,
                               struct json *patch, bool is_deletion)
{
    if (!m->merge && !is_deletion)
        return patch;
    if (doc->array.n == 0 && patch->array.n == 0)
        return doc;
    if (!check_elements(j, doc, patch))
        return NULL;
    const struct json *first = doc->array.n ? doc->array.v[0] : patch->array.v[0];
    if (first->type == JSON_OBJECT)
        return merge_objects(j, m, doc, patch);
    if (is_deletion)
        return select_elements(j, doc, patch, "", false);
    return merge_scalars(j, doc, patch);
}

/* ---- $setElementOrder ---- */

static bool same_identity(const struct json *a, const struct json *b, const char *key)
{
    return json_eq(identity(a, key), identity(b, key));
}

/* The elements of the patch must all be in the order list, in that order; deletions need not. */
static bool check_order(struct job *j, const struct json *patch, const struct json *order,
                        const char *key)
{
    if (patch->array.n == 0 || order->array.n == 0)
        return true;
    size_t p = 0, o = 0;
    while (p < patch->array.n) {
        const struct json *item = patch->array.v[p];
        if (key[0] && item->type != JSON_OBJECT)
            return bad_type(j, JSON_OBJECT, item);
        if (key[0] && directive_of(item)) {
            p++;
            continue;
        }
        if (key[0] && !json_getz(item, key))
            return no_merge_key(j, item, key);
        if (o == order->array.n)
            break;
        p += same_identity(item, order->array.v[o++], key);
    }
    if (p == patch->array.n)
        return true;
    err_set(j->e, ERR_BAD_REQUEST,
            "The order in patch list:\n%.*s\n doesn't match " ORDER_PREFIX " list:\n%.*s\n",
            STR_ARG(tree_go_text(j->a, patch)), STR_ARG(tree_go_text(j->a, order)));
    return false;
}

/* The order of the live list, for merge_ordered. New elements take the places of deleted ones: not
 * by design, but because the Go library reuses the list's memory; the places of a server's own
 * elements depend on it. */
static struct json *live_order(struct job *j, const struct member_type *m, struct json *doc,
                               const struct json *patch)
{
    bool replace;
    struct json *gone, *plain;
    if (!patch || !m->merge || !m->key[0] || patch->array.n == 0 ||
        patch->array.v[0]->type != JSON_OBJECT)
        return doc;
    if (!sort_out(j, patch, m->key, &replace, &gone, &plain))
        return NULL;
    if (replace || gone->array.n == 0)
        return doc;
    struct json *order = select_elements(j, doc, gone, m->key, false);
    struct json *added = select_elements(j, plain, doc, m->key, false);
    for (size_t i = 0; order && added && i < added->array.n && order->array.n < doc->array.n; i++)
        order->array.v[order->array.n++] = added->array.v[i];
    return added ? order : NULL;
}

/* Merges one list and brings it into the wanted order. doc or patch may be NULL, not both. */
static struct json *merge_ordered(struct job *j, const struct member_type *m, struct json *doc,
                                  struct json *patch, const struct json *order)
{
    bool is_full = false;
    struct json *merged, *none = tree_array(j->a, 0);
    if (!none)
        return full(j);
    if (m->key[0] && !all_have_key(j, order, m->key))
        return NULL;
    if (!check_order(j, patch ? patch : none, order, m->key))
        return NULL;
    if (!doc)
        merged = array_without_directives(j, patch, &is_full);
    else
        merged = patch ? merge_list(j, m, doc, patch, false) : doc;
    if (is_full)
        return full(j);
    if (!merged || !m->merge || !check_elements(j, merged, none))
        return merged && !m->merge ? merged : NULL;
    if (m->key[0] && !all_have_key(j, merged, m->key))
        return NULL;
    doc = doc ? live_order(j, m, doc, patch) : none;
    return doc ? arrange(j, merged, order, doc, m->key) : NULL;
}

/* ---- objects ---- */

/* An object being merged: edits, and which members of the patch are done with. */
struct merging {
    struct type type;
    struct tree_edit ed;
    const struct json *patch;
    struct member_index by_name; /* of the patch */
    bool *done;
};

static bool retain(struct job *j, struct merging *w)
{
    const struct json_member *m = member_index_find(&w->by_name, STR(RETAIN_KEYS));
    if (!m)
        return true;
    w->done[m - w->patch->object.v] = true;
    if (m->value->type != JSON_ARRAY)
        return bad_format(j, "retainKeys");
    CLEANUP(order_fini) struct order keys;
    order_init(j, &keys, m->value, "");
    for (size_t i = 0; i < w->patch->object.n; i++) {
        const struct json_member *p = &w->patch->object.v[i];
        bool exempt = p == m || p->value->type == JSON_NULL ||
                      str_has_prefix(p->key, STR(DELETE_PREFIX)) ||
                      str_has_prefix(p->key, STR(ORDER_PREFIX));
        if (!exempt && !map_get(&keys.strings, p->key))
            return bad_format(j, "retainKeys");
    }
    const struct json *doc = w->ed.object;
    for (size_t i = 0; i < doc->object.n; i++)
        if (!map_get(&keys.strings, doc->object.v[i].key))
            tree_edit_del(&w->ed, doc->object.v[i].key);
    return true;
}

/* "$setElementOrder/x" to "x"; false: it has another form. */
static bool directive_target(struct str key, const char *prefix, struct str *ret)
{
    struct str head;
    return str_cut(key, '/', &head, ret) && str_eqz(head, prefix);
}

static bool set_order(struct job *j, struct merging *w, const struct json_member *directive)
{
    struct str name;
    const struct json *order = directive->value;
    w->done[directive - w->patch->object.v] = true;
    if (order->type != JSON_ARRAY)
        return bad_type(j, JSON_ARRAY, order);
    if (!directive_target(directive->key, ORDER_PREFIX, &name))
        return bad_format(j, "setElementOrder list");
    struct json *doc = tree_edit_get(&w->ed, name);
    const struct json_member *patch = member_index_find(&w->by_name, name);
    if (patch && w->done[patch - w->patch->object.v])
        patch = NULL;
    if (doc && doc->type != JSON_ARRAY)
        return bad_type(j, JSON_ARRAY, doc);
    if (patch && patch->value->type != JSON_ARRAY)
        return bad_type(j, JSON_ARRAY, patch->value);
    if (!doc && !patch)
        return true;
    struct member_type m = look_up(w->type, name);
    struct json *merged = merge_ordered(j, &m, doc, patch ? patch->value : NULL, order);
    if (!merged)
        return false;
    tree_edit_set(&w->ed, name, merged);
    if (patch)
        w->done[patch - w->patch->object.v] = true;
    return true;
}

/* The patch's value where the document has none, or one of another type. */
static bool take_value(struct job *j, struct merging *w, struct str name, struct json *v)
{
    bool is_full = false;
    v = tree_without_nulls(j->a, v);
    if (!v)
        return full(j);
    v = without_directives(j, v, &is_full);
    if (is_full)
        return full(j);
    if (v)
        tree_edit_set(&w->ed, name, v);
    else
        tree_edit_del(&w->ed, name);
    return true;
}

static bool merge_member(struct job *j, struct merging *w, struct str name, struct json *v)
{
    bool is_deletion = str_has_prefix(name, STR(DELETE_PREFIX));
    if (is_deletion && !directive_target(name, DELETE_PREFIX, &name))
        return bad_format(j, "primitive list");
    if (v->type == JSON_NULL) {
        tree_edit_del(&w->ed, name);
        return true;
    }
    struct json *old = tree_edit_get(&w->ed, name);
    if (!old || old->type != v->type)
        return is_deletion || take_value(j, w, name, v);
    struct member_type m = look_up(w->type, name);
    if (v->type == JSON_ARRAY)
        v = merge_list(j, &m, old, v, is_deletion);
    else if (v->type == JSON_OBJECT && !m.replace)
        v = merge_object(j, m.type, old, v);
    if (v)
        tree_edit_set(&w->ed, name, v);
    return v;
}

static bool merge_members(struct job *j, struct merging *w)
{
    if (!retain(j, w))
        return false;
    for (size_t i = 0; i < w->patch->object.n; i++)
        if (str_has_prefix(w->patch->object.v[i].key, STR(ORDER_PREFIX)) &&
            !set_order(j, w, &w->patch->object.v[i]))
            return false;
    for (size_t i = 0; i < w->patch->object.n; i++) {
        const struct json_member *m = &w->patch->object.v[i];
        if (!w->done[i] && !merge_member(j, w, m->key, m->value))
            return false;
    }
    return true;
}

static struct json *replaced_or_deleted(struct job *j, const struct json *directive,
                                        const struct json *patch)
{
    struct tree_edit ed;
    bool replace = is_directive(directive, "replace");
    if (!replace && !is_directive(directive, "delete"))
        return bad_directive(j, directive, patch);
    if (!tree_edit_init(&ed, j->a, replace ? patch : NULL, 0))
        return full(j);
    tree_edit_del(&ed, STR(DIRECTIVE));
    return tree_edit_done(&ed);
}

/* NULL: failed, j->e says why. */
static struct json *merge_object(struct job *j, struct type t, struct json *doc, struct json *patch)
{
    const struct json *directive = directive_of(patch);
    if (directive)
        return replaced_or_deleted(j, directive, patch);
    struct merging w = {.type = t, .patch = patch};
    w.done = arena_try(j->a, patch->object.n, sizeof *w.done);
    if (!w.done || !tree_edit_init(&w.ed, j->a, doc, patch->object.n))
        return full(j);
    member_index_init(&w.by_name, patch);
    bool ok = merge_members(j, &w);
    member_index_fini(&w.by_name);
    struct json *merged = tree_edit_done(&w.ed);
    return ok ? merged : NULL;
}

int patch_strategic(struct arena *a, const struct desc *d, const struct json *doc,
                    const struct json *patch, struct json **ret, struct err *e)
{
    struct job j = {a, e};
    must(doc->type == JSON_OBJECT && patch->type == JSON_OBJECT);
    /* Nothing is written through these pointers: the result shares values with both. */
    struct json *from = (struct json *)(uintptr_t)doc, *by = (struct json *)(uintptr_t)patch;
    struct json *merged = merge_object(&j, (struct type){d, false}, from, by);
    if (!merged)
        return -(int)e->code;
    *ret = merged;
    return 0;
}
