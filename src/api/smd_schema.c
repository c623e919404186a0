/* SPDX-License-Identifier: Apache-2.0 */
/* Custom resources as server-side apply sees them: kube-openapi's reading of an OpenAPI schema. */
#include "api/metav1.h"
#include "api/smd.h"

/* ---- nothing known ---- */

enum { DEDUCED, ATOMIC };

static const struct smd_ops deduced_ops;

static struct smd_type anything(uint32_t how)
{
    return (struct smd_type){&deduced_ops, NULL, how};
}

struct smd_type smd_deduced(void)
{
    return anything(DEDUCED);
}

static struct smd_atom deduced_atom(struct smd_type t)
{
    return (struct smd_atom){
        .may_be = SMD_SCALAR | SMD_LIST | SMD_MAP,
        .list_atomic = true,
        .map_atomic = t.how == ATOMIC,
        .deduced = t.how == DEDUCED,
    };
}

static struct smd_type deduced_member(struct smd_type t, struct str name, bool *ret_declared)
{
    *ret_declared = false;
    return t;
}

static struct smd_type deduced_element(struct smd_type t)
{
    return anything(ATOMIC);
}

static struct str no_key(struct smd_type t, size_t i)
{
    never("no list here is keyed");
}

static bool no_default(struct smd_type t, struct str member, struct json *ret)
{
    return false;
}

static struct json *empty_object(struct smd_type t, struct arena *a)
{
    struct json *v = arena_try(a, 1, sizeof *v);
    if (v)
        v->type = JSON_OBJECT;
    return v;
}

static const struct smd_ops deduced_ops = {
    false, deduced_atom, deduced_member, deduced_element, no_key, no_default, empty_object,
};

/* ---- schemas ---- */

enum {
    ROOT = 1,      /* has apiVersion, kind, metadata */
    PRESERVE = 2,  /* some schema above keeps unknown fields, and so do all below it */
    TYPE_META = 4, /* apiVersion or kind of an object; node is NULL */
};

static const struct smd_ops schema_ops;

static bool is_true(const struct json *schema, const char *key)
{
    const struct json *v = json_getz(schema, key);
    return v && v->type == JSON_BOOL && v->boolean;
}

static struct smd_type make(const struct json *schema, uint32_t how)
{
    if (!schema || schema->type != JSON_OBJECT)
        return smd_deduced();
    if (is_true(schema, "x-kubernetes-preserve-unknown-fields"))
        how |= PRESERVE;
    if (is_true(schema, "x-kubernetes-embedded-resource"))
        how |= ROOT;
    return (struct smd_type){&schema_ops, schema, how};
}

struct smd_type smd_schema(const struct json *schema)
{
    return make(schema, ROOT);
}

static const struct json *list_keys(const struct json *schema)
{
    const struct json *keys = json_getz(schema, "x-kubernetes-list-map-keys");
    bool is_map = str_eqz(json_str(json_getz(schema, "x-kubernetes-list-type")), "map");
    return is_map && keys && keys->type == JSON_ARRAY ? keys : NULL;
}

static enum smd_scalar scalar_of(const struct json *schema, struct str type)
{
    struct str format = json_str(json_getz(schema, "format"));
    if (str_eqz(type, "integer") || str_eqz(type, "number"))
        return SMD_NUMBER;
    if (str_eqz(type, "boolean"))
        return SMD_BOOL;
    if (str_eqz(type, "string") && (str_empty(format) || str_eqz(format, "byte")))
        return SMD_STRING;
    return SMD_ANY_SCALAR;
}

static struct smd_atom schema_atom(struct smd_type t)
{
    const struct json *schema = t.node;
    if (t.how & TYPE_META)
        return (struct smd_atom){.may_be = SMD_SCALAR, .scalar = SMD_STRING};
    struct str type = json_str(json_getz(schema, "type"));
    struct str list_type = json_str(json_getz(schema, "x-kubernetes-list-type"));
    const struct json *keys = list_keys(schema), *properties = json_getz(schema, "properties");
    struct smd_atom a = {
        .may_be = SMD_SCALAR,
        .scalar = scalar_of(schema, type),
        .list_atomic = !keys && !str_eqz(list_type, "set"),
        .map_atomic = str_eqz(json_str(json_getz(schema, "x-kubernetes-map-type")), "atomic"),
        .n_keys = keys ? keys->array.n : 0,
    };
    a.deduced = !(t.how & ROOT) && !properties && !json_getz(schema, "additionalProperties");
    if (str_eqz(type, "object"))
        a.may_be = SMD_MAP;
    else if (str_eqz(type, "array"))
        a.may_be = SMD_LIST;
    else if (str_empty(type))
        a.may_be = SMD_SCALAR | SMD_LIST | SMD_MAP;
    return a;
}

static struct smd_type undeclared_member(struct smd_type t)
{
    const struct json *more = json_getz(t.node, "additionalProperties");
    const struct json *properties = json_getz(t.node, "properties");
    if (more && more->type == JSON_OBJECT)
        return make(more, t.how & PRESERVE);
    if (more)
        return more->type == JSON_BOOL && !more->boolean ? (struct smd_type){0} : smd_deduced();
    bool none = !(t.how & ROOT) &&
                (!properties || properties->type != JSON_OBJECT || properties->object.n == 0);
    return none || (t.how & PRESERVE) ? smd_deduced() : (struct smd_type){0};
}

static struct smd_type schema_member(struct smd_type t, struct str name, bool *ret_declared)
{
    *ret_declared = true;
    if (t.how & ROOT) {
        if (str_eqz(name, "apiVersion") || str_eqz(name, "kind"))
            return (struct smd_type){&schema_ops, NULL, TYPE_META};
        if (str_eqz(name, "metadata"))
            return smd_desc(&metav1_object_meta_desc);
    }
    const struct json *found = json_get(json_getz(t.node, "properties"), name);
    if (found)
        return make(found, t.how & PRESERVE);
    *ret_declared = false;
    return undeclared_member(t);
}

static struct smd_type schema_element(struct smd_type t)
{
    const struct json *items = json_getz(t.node, "items");
    return items ? make(items, t.how & PRESERVE) : anything(ATOMIC);
}

static struct str schema_key(struct smd_type t, size_t i)
{
    return json_str(list_keys(t.node)->array.v[i]);
}

static bool schema_default_of(struct smd_type t, struct str member, struct json *ret)
{
    bool declared;
    struct smd_type m = schema_member(t, member, &declared);
    const struct json *v = m.ops == &schema_ops ? json_getz(m.node, "default") : NULL;
    if (!v || v->type == JSON_ARRAY || v->type == JSON_OBJECT || v->type == JSON_NULL)
        return false;
    *ret = *v;
    return true;
}

static const struct smd_ops schema_ops = {
    true, schema_atom, schema_member, schema_element, schema_key, schema_default_of, empty_object,
};

/* ---- for callers ---- */

struct smd_type smd_member(struct smd_type t, struct str name, bool *ret_declared)
{
    *ret_declared = false;
    return t.ops ? t.ops->member(t, name, ret_declared) : t;
}

struct smd_type smd_element(struct smd_type t)
{
    return t.ops ? t.ops->element(t) : t;
}
