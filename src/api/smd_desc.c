/* SPDX-License-Identifier: Apache-2.0 */
/* Built-in types as server-side apply sees them: kube-openapi's reading of the same markers. */
#include "api/smd.h"
#include "api/tree.h"

/* What node is. */
enum {
    OBJECT,        /* struct desc: an object of that type */
    OBJECT_ATOMIC, /* the same, atomic at this place */
    FIELD,         /* struct field: the field's value */
    ELEMENT,       /* struct field: one element, or one value of a map */
    ATOMIC_LIST,   /* struct field: a list of strings that is one element */
    ANYTHING,      /* raw JSON: one field, whatever it is */
};

static const struct smd_ops desc_ops;

static struct smd_type make(uint32_t how, const void *node)
{
    return (struct smd_type){&desc_ops, node, how};
}

struct smd_type smd_desc(const struct desc *d)
{
    return make(OBJECT, d);
}

static bool is_object(struct smd_type t)
{
    return t.how == OBJECT || t.how == OBJECT_ATOMIC;
}

/* The type of one element of a field. */
static struct smd_type element_of(const struct field *f)
{
    if (f->kind == FK_RAW)
        return make(ANYTHING, f);
    if (f->kind == FK_STRINGS)
        return make(ATOMIC_LIST, f);
    if (f->kind != FK_MESSAGE)
        return make(ELEMENT, f);
    if (f->message->encoding != ENC_PLAIN)
        return smd_deduced();
    bool atomic = f->message->atomic || (f->ext && f->ext->struct_atomic);
    return make(atomic ? OBJECT_ATOMIC : OBJECT, f->message);
}

/* ---- lists ---- */

static const char *const no_keys[] = {NULL};

/* The keys that name an element; *ret_atomic: the list is one field. A list without a type falls
 * back on its patch strategy. */
static const char *const *list_keys(const struct field *f, bool *ret_atomic)
{
    const struct field_ext *ext = f->ext;
    uint8_t type = ext ? ext->list_type : LIST_UNSPECIFIED;
    *ret_atomic = type == LIST_ATOMIC || (type == LIST_UNSPECIFIED && !(ext && ext->patch_merge));
    if (*ret_atomic || type == LIST_SET)
        return no_keys;
    if (type == LIST_MAP)
        return ext->map_keys ? ext->map_keys : no_keys;
    return ext->patch_merge_key && ext->patch_merge_key[0] ? &ext->patch_merge_key : no_keys;
}

static size_t count_keys(const struct field *f, const char *const *keys)
{
    size_t n = 0;
    /* A merge key stands alone, without the NULL at the end. */
    if (f->ext && keys == &f->ext->patch_merge_key)
        return 1;
    while (keys[n])
        n++;
    return n;
}

/* ---- the describer ---- */

static enum smd_scalar scalar_of(enum field_kind kind)
{
    switch (kind) {
    case FK_STRING:
    case FK_BYTES: return SMD_STRING;
    case FK_BOOL: return SMD_BOOL;
    case FK_INT32:
    case FK_INT64:
    case FK_UINT32:
    case FK_UINT64:
    case FK_DOUBLE: return SMD_NUMBER;
    case FK_TIME:
    case FK_MICROTIME:
    case FK_DURATION:
    case FK_QUANTITY:
    case FK_INTSTR:
    case FK_RAW:
    case FK_STRINGS:
    case FK_MESSAGE: return SMD_ANY_SCALAR;
    }
    never("all kinds are above");
}

static struct smd_atom field_atom(const struct field *f)
{
    if (f->shape == SHAPE_LIST) {
        struct smd_atom list = {.may_be = SMD_LIST};
        const char *const *keys = list_keys(f, &list.list_atomic);
        list.n_keys = count_keys(f, keys);
        return list;
    }
    must(f->shape == SHAPE_MAP);
    return (struct smd_atom){.may_be = SMD_MAP, .map_atomic = f->ext && f->ext->map_atomic};
}

static struct smd_atom desc_atom(struct smd_type t)
{
    switch (t.how) {
    case OBJECT: {
        const struct desc *d = t.node;
        return (struct smd_atom){.may_be = SMD_MAP, .map_atomic = d->atomic};
    }
    case OBJECT_ATOMIC: return (struct smd_atom){.may_be = SMD_MAP, .map_atomic = true};
    case FIELD: return field_atom(t.node);
    case ATOMIC_LIST: return (struct smd_atom){.may_be = SMD_LIST, .list_atomic = true};
    case ANYTHING:
        return (struct smd_atom){
            .may_be = SMD_SCALAR | SMD_LIST | SMD_MAP, .list_atomic = true, .map_atomic = true};
    default: break;
    }
    const struct field *f = t.node;
    return (struct smd_atom){.may_be = SMD_SCALAR, .scalar = scalar_of(f->kind)};
}

static struct smd_type desc_member(struct smd_type t, struct str name, bool *ret_declared)
{
    const struct field *f = is_object(t) ? desc_field(t.node, name) : NULL;
    *ret_declared = f != NULL;
    if (f)
        return f->shape == SHAPE_LIST || f->shape == SHAPE_MAP ? make(FIELD, f) : element_of(f);
    if (is_object(t))
        return (struct smd_type){0};
    return t.how == FIELD ? element_of(t.node) : make(ANYTHING, t.node);
}

static struct smd_type desc_element(struct smd_type t)
{
    return t.how == FIELD ? element_of(t.node) : make(ANYTHING, t.node);
}

static struct str desc_key(struct smd_type t, size_t i)
{
    bool atomic;
    return str_z(list_keys(t.node, &atomic)[i]);
}

static bool desc_default_of(struct smd_type t, struct str member, struct json *ret)
{
    const struct field *f = is_object(t) ? desc_field(t.node, member) : NULL;
    if (!f || !f->ext || !f->ext->default_text || !f->ext->default_text[0])
        return false;
    struct str text = str_z(f->ext->default_text);
    enum smd_scalar scalar = scalar_of(f->kind);
    if (scalar == SMD_NUMBER)
        *ret = (struct json){.type = JSON_NUMBER, .number = text};
    else if (scalar == SMD_BOOL)
        *ret = (struct json){.type = JSON_BOOL, .boolean = str_eqz(text, "true")};
    else
        *ret = (struct json){.type = JSON_STRING, .string = text};
    return true;
}

static struct json *desc_empty(struct smd_type t, struct arena *a)
{
    const struct desc *d = t.node;
    must(is_object(t));
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    struct err e = ERR_INIT(a);
    struct json *v;
    CLEANUP(free_ptr) void *zero = xcalloc(1, d->size);
    desc_encode_json(d, zero, &b);
    char *text = arena_try(a, b.n, 1);
    if (!text)
        return NULL;
    memcpy(text, b.p, b.n);
    return json_parse(a, str_n(text, b.n), &v, &e) == 0 ? v : NULL;
}

static const struct smd_ops desc_ops = {
    false, desc_atom, desc_member, desc_element, desc_key, desc_default_of, desc_empty,
};
