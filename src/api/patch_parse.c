/* SPDX-License-Identifier: Apache-2.0 */
/* The outer form of patch documents, and what fieldValidation wants to know of them. */
#include "api/patch.h"
#include "api/tree.h"
#include "base/map.h"

/* Kubernetes' name of the type that its decoder fills. */
#define OP_TYPE  "handlers.jsonPatchOp"
#define MAP_TYPE "map[string]interface {}"

/* ---- repeated fields: the tree has dropped them, so the text is read again ---- */

struct walk {
    struct json_in in;
    struct decode_notes *notes;
    enum patch_type type;
    struct buf path;
};

static void note(struct decode_notes *notes, const struct buf *path, bool unknown)
{
    struct str text = tree_text(notes->arena, path);
    if (unknown && notes->unknown.n < DECODE_NOTES_MAX)
        vec_push_arena(notes->arena, &notes->unknown, text);
    if (!unknown && notes->duplicate.n < DECODE_NOTES_MAX)
        vec_push_arena(notes->arena, &notes->duplicate, text);
}

static bool is_op_field(struct str key)
{
    return str_eqz(key, "op") || str_eqz(key, "path") || str_eqz(key, "from") ||
           str_eqz(key, "value");
}

static void walk_value(struct walk *w, uint32_t depth);

static void walk_object(struct walk *w, uint32_t depth)
{
    struct str key;
    struct map seen = MAP_INIT_BORROWED;
    size_t from = w->path.n;
    json_enter_object(&w->in);
    while (json_next_key(&w->in, &key)) {
        if (w->path.n)
            buf_c(&w->path, '.');
        buf_str(&w->path, key);
        bool unknown = w->type == PATCH_JSON && depth == 1 && !is_op_field(key);
        if (unknown || map_put(&seen, key, w))
            note(w->notes, &w->path, unknown);
        walk_value(w, depth + 1);
        buf_truncate(&w->path, from);
    }
    map_fini(&seen);
}

static void walk_array(struct walk *w, uint32_t depth)
{
    size_t from = w->path.n;
    json_enter_array(&w->in);
    for (uint64_t i = 0; json_next_item(&w->in); i++) {
        buf_c(&w->path, '[');
        buf_u64(&w->path, i);
        buf_c(&w->path, ']');
        walk_value(w, depth + 1);
        buf_truncate(&w->path, from);
    }
}

static void walk_value(struct walk *w, uint32_t depth)
{
    enum json_type type = json_peek(&w->in);
    if (type == JSON_OBJECT)
        walk_object(w, depth);
    else if (type == JSON_ARRAY)
        walk_array(w, depth);
    else
        json_skip(&w->in, NULL);
}

static void note_all(enum patch_type type, struct str text, struct arena *a,
                     struct decode_notes *notes)
{
    struct walk w = {.notes = notes, .type = type};
    json_in_init(&w.in, text, a);
    buf_init(&w.path, BUF_CAP_DEFAULT);
    if (!notes->arena)
        notes->arena = a;
    walk_value(&w, 0);
    buf_fini(&w.path);
}

/* ---- form ---- */

/* In Go's words: what kind of JSON value this is. */
static const char *kind_word(const struct json *v)
{
    switch (v->type) {
    case JSON_BOOL: return "bool";
    case JSON_NUMBER: return "number";
    case JSON_STRING: return "string";
    case JSON_ARRAY: return "array";
    case JSON_OBJECT: return "object";
    case JSON_NULL: return "null";
    case JSON_BAD: break;
    }
    never("a tree has no bad values");
}

static int check_op(const struct json *op, struct err *e)
{
    static const char *const texts[] = {"op", "path", "from"};
    if (op->type == JSON_NULL)
        return 0;
    if (op->type != JSON_OBJECT)
        return err_set(e, ERR_BAD_REQUEST,
                       "error decoding patch: json: cannot unmarshal %s into Go value of type "
                       "%s",
                       kind_word(op), OP_TYPE);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct json *v = json_getz(op, texts[i]);
        if (v && v->type != JSON_STRING && v->type != JSON_NULL)
            return err_set(e, ERR_BAD_REQUEST,
                           "error decoding patch: json: cannot unmarshal %s into Go struct "
                           "field jsonPatchOp.%s of type string",
                           kind_word(v), texts[i]);
    }
    return 0;
}

static int check_ops(const struct json *patch, struct err *e)
{
    if (patch->type != JSON_ARRAY)
        return err_set(e, ERR_BAD_REQUEST,
                       "error decoding patch: json: cannot unmarshal %s into Go value of type "
                       "[]%s",
                       kind_word(patch), OP_TYPE);
    for (size_t i = 0; i < patch->array.n; i++) {
        int rc = check_op(patch->array.v[i], e);
        if (rc)
            return rc;
    }
    return 0;
}

static int check_form(enum patch_type type, struct arena *a, struct json **patch, struct err *e)
{
    struct json *v = *patch;
    if (type == PATCH_JSON) {
        if (v->type == JSON_NULL)
            v = *patch = json_array(a);
        return check_ops(v, e);
    }
    if (v->type == JSON_OBJECT)
        return 0;
    if (v->type == JSON_NULL && type == PATCH_MERGE)
        return err_set(e, ERR_BAD_REQUEST, "Invalid JSON Patch");
    if (v->type == JSON_NULL) {
        *patch = json_object(a);
        return 0;
    }
    return err_set(e, ERR_BAD_REQUEST, "%sjson: cannot unmarshal %s into Go value of type %s",
                   type == PATCH_MERGE ? "error decoding patch: " : "", kind_word(v), MAP_TYPE);
}

int patch_parse(enum patch_type type, struct str text, struct arena *a, struct json **ret,
                struct decode_notes *notes, struct err *e)
{
    struct json *patch;
    struct err detail = ERR_INIT(a);
    if (json_parse(a, text, &patch, &detail) != 0)
        return err_set(e, ERR_BAD_REQUEST, "invalid JSON patch");
    int rc = check_form(type, a, &patch, e);
    if (rc)
        return rc;
    if (notes)
        note_all(type, text, a, notes);
    *ret = patch;
    return 0;
}
