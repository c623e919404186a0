/* SPDX-License-Identifier: Apache-2.0 */
/* Field selectors: "metadata.name=x,spec.nodeName!=y", evaluated through descriptors. */
#include "api/field.h"
#include "api/selector.h"

/* Takes the text up to the next comma that no backslash escapes. False at the end. */
static bool next_term(struct str *s, struct str *ret)
{
    if (!s->p)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        if (s->p[i] == '\\') {
            i++;
        } else if (s->p[i] == ',') {
            *ret = str_sub(*s, 0, i);
            *s = str_sub(*s, i + 1, s->n);
            return true;
        }
    }
    *ret = *s;
    *s = STR_NULL;
    return true;
}

static int unescape(struct arena *a, struct str s, struct str *ret, struct err *e)
{
    if (str_index(s, '\\') < 0 && str_index(s, '=') < 0) {
        *ret = s;
        return 0;
    }
    char *to = arena_raw(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '=' || s.p[i] == ',')
            return err_set(e, ERR_BAD_REQUEST,
                           "invalid field selector: unescaped character in value: %d", s.p[i]);
        if (s.p[i] == '\\' && (++i == s.n || !strchr("\\,=", s.p[i]) || !s.p[i]))
            return err_set(e, ERR_BAD_REQUEST,
                           "invalid field selector: invalid escape sequence: \\%.*s",
                           STR_ARG(str_sub(s, i, i + 1)));
        to[n++] = s.p[i];
    }
    *ret = str_n(to, n);
    return 0;
}

/* Splits "a!=b", "a==b", "a=b" at the first operator. */
static bool split_term(struct str term, struct field_requirement *r, struct str *ret_value)
{
    for (size_t i = 0; i < term.n; i++) {
        struct str rest = str_sub(term, i, term.n);
        r->field = str_sub(term, 0, i);
        r->not_equal = str_skip(&rest, STR("!="));
        *ret_value = rest;
        if (r->not_equal || str_skip(ret_value, STR("==")) || str_skip(ret_value, STR("=")))
            return true;
    }
    return false;
}

int field_selector_parse(struct arena *a, struct str text, struct field_selector *ret,
                         struct err *e)
{
    struct str rest = text, term;
    *ret = (struct field_selector){0};
    while (next_term(&rest, &term)) {
        struct field_requirement r = {0};
        struct str value;
        if (!term.n)
            continue;
        if (!split_term(term, &r, &value))
            return err_set(e, ERR_BAD_REQUEST, "invalid selector: '%.*s'; can't understand '%.*s'",
                           STR_ARG(text), STR_ARG(term));
        int rc = unescape(a, value, &r.value, e);
        if (rc < 0)
            return rc;
        *list_add(a, ret) = r;
    }
    return 0;
}

/* ---- binding ---- */

/* Selectable names that are not the JSON path of what they mean. */
static const struct {
    const char *kind, *name, *path;
} aliases[] = {
    {"Event", "source", "source.component"},
    {"Job", "status.successful", "status.succeeded"},
    {"Pod", "spec.host", "spec.nodeName"},
};

static struct str alias(const struct resource_def *r, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        if (str_eqz(name, aliases[i].name) && strcmp(r->kind, aliases[i].kind) == 0)
            return str_z(aliases[i].path);
    return name;
}

static bool is_selectable(const struct resource_def *r, struct str name)
{
    if (str_eqz(name, "metadata.name") || str_eqz(name, "metadata.namespace"))
        return true;
    for (size_t i = 0; r->select && r->select[i]; i++)
        if (str_eq(alias(r, name), alias(r, str_z(r->select[i]))))
            return true;
    return false;
}

static bool bind(struct field_requirement *r, const struct desc *d, struct str path)
{
    struct str name;
    r->depth = 0;
    while (str_next(&path, '.', &name)) {
        const struct field *f = d ? desc_field(d, name) : NULL;
        if (!f || r->depth == FIELD_SELECTOR_DEPTH_MAX)
            return false;
        r->path[r->depth++] = f;
        d = f->kind == FK_MESSAGE && f->shape <= SHAPE_PTR ? f->message : NULL;
    }
    return true;
}

int field_selector_bind(struct field_selector *s, const struct resource_def *r, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        struct field_requirement *q = &s->v[i];
        if (!is_selectable(r, q->field)) {
            if (r->select)
                return err_set(e, ERR_BAD_REQUEST, "field label not supported: %.*s",
                               STR_ARG(q->field));
            return err_set(e, ERR_BAD_REQUEST,
                           "\"%.*s\" is not a known field selector: only \"metadata.name\", "
                           "\"metadata.namespace\"",
                           STR_ARG(q->field));
        }
        must(bind(q, r->desc, alias(r, q->field)));
    }
    return 0;
}

/* ---- matching ---- */

/* The text of a scalar; numbers and truth values as Go prints them. Lists have none. */
static struct str scalar_text(const struct field *f, const void *p, char *space, size_t size)
{
    int n;
    if (f->shape > SHAPE_PTR)
        return STR("");
    if (f->shape == SHAPE_PTR && !field_self_null(f) && !(p = *(void *const *)p))
        return STR("");
    switch (f->kind) {
    case FK_STRING: return *(const struct str *)p;
    case FK_BOOL: return *(const bool *)p ? STR("true") : STR("false");
    case FK_INT32: n = snprintf(space, size, "%d", *(const int32_t *)p); break;
    case FK_INT64: n = snprintf(space, size, "%lld", (long long)*(const int64_t *)p); break;
    default: return STR("");
    }
    return str_n(space, (size_t)n);
}

static bool requirement_match(const struct field_requirement *r, const void *obj)
{
    char space[32];
    struct str text = STR("");
    const char *p = obj;
    for (size_t i = 0; i < r->depth; i++) {
        const struct field *f = r->path[i];
        p += f->offset;
        if (i + 1 == r->depth) {
            text = scalar_text(f, p, space, sizeof space);
        } else if (f->shape == SHAPE_PTR) {
            p = *(const char *const *)(const void *)p;
            if (!p)
                break;
        }
    }
    return str_eq(text, r->value) != r->not_equal;
}

bool field_selector_match(const struct field_selector *s, const void *obj)
{
    for (size_t i = 0; i < s->n; i++)
        if (!requirement_match(&s->v[i], obj))
            return false;
    return true;
}

bool field_selector_exact(const struct field_selector *s, struct str field, struct str *ret_value)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].not_equal || !str_eq(s->v[i].field, field))
            continue;
        *ret_value = s->v[i].value;
        return true;
    }
    return false;
}
