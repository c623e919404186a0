/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events to JSON trees. What a plain scalar stands for is in yaml_scalar.c. */
#include "codec/yaml.h"

#include <math.h>
#include <yaml.h>

#include "base/map.h"
#include "codec/base64.h"
#include "codec/json_build.h"
#include "codec/utf8.h"
#include "codec/yaml_scalar.h"

enum { SHOWN_MAX = 100, PROBLEMS_BYTES_MAX = 8192, NUMBER_BYTES_MAX = 1 << 20 };

#define TAG(name) "tag:yaml.org,2002:" name

/* Where a member of a mapping being read came from. */
struct origin {
    uint32_t line; /* of its value */
    bool quoted, merged;
};

struct loader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    struct arena *arena;
    struct str name, text;
    struct err *e;
    struct map anchors; /* of the document: name to struct anchor, on the arena */
    struct json_scratch scratch;
    VEC(struct origin) origins; /* of scratch.members, one by one */
    struct buf digits;          /* for yaml_resolve */
    struct buf problems;        /* lines about repeated keys */
    uint32_t depth;
    size_t nodes, levels, copied_bytes, anchor_count;
};

struct anchor {
    struct json *value;
    bool open; /* its node has not ended yet */
};

static void loader_init(struct loader *l, struct arena *a, struct str name, struct str text,
                        struct err *e)
{
    *l = (struct loader){.arena = a,
                         .name = name,
                         .text = text.p ? text : STR(""),
                         .e = e,
                         .digits = BUF_INIT(NUMBER_BYTES_MAX),
                         .problems = BUF_INIT(PROBLEMS_BYTES_MAX)};
}

static void loader_fini(struct loader *l)
{
    yaml_event_delete(&l->event);
    yaml_parser_delete(&l->parser);
    map_fini(&l->anchors);
    json_scratch_fini(&l->scratch);
    vec_free(&l->origins);
    buf_fini(&l->digits);
    buf_fini(&l->problems);
}

/* ---- errors ---- */

/* line from 1; 0: none */
static int fail_at(struct loader *l, size_t line, struct str message)
{
    if (l->name.n && line)
        return err_set(l->e, ERR_BAD_REQUEST, "%.*s:%zu: %.*s", STR_ARG(l->name), line,
                       STR_ARG(message));
    if (l->name.n)
        return err_set(l->e, ERR_BAD_REQUEST, "%.*s: %.*s", STR_ARG(l->name), STR_ARG(message));
    if (line)
        return err_set(l->e, ERR_BAD_REQUEST, "yaml: line %zu: %.*s", line, STR_ARG(message));
    return err_set(l->e, ERR_BAD_REQUEST, "yaml: %.*s", STR_ARG(message));
}

static size_t line_of(const struct loader *l)
{
    return l->event.start_mark.line + 1;
}

/* At the current event; `about`, cut if long, stands between the two texts. */
static int fail_about(struct loader *l, const char *before, struct str about, const char *behind)
{
    CLEANUP(buf_fini) struct buf message = BUF_INIT(KIB(1));
    buf_z(&message, before);
    utf8_put_valid(&message, str_sub(about, 0, SHOWN_MAX));
    buf_z(&message, behind);
    return fail_at(l, line_of(l), buf_view(&message));
}

static int fail(struct loader *l, const char *message)
{
    return fail_at(l, line_of(l), str_z(message));
}

static int fail_too_large(struct loader *l)
{
    return fail(l, "document is too large");
}

static int syntax_error(struct loader *l)
{
    const yaml_parser_t *p = &l->parser;
    size_t line = p->problem_mark.line + 1;
    if (p->error == YAML_READER_ERROR) { /* it has an offset only */
        struct str before = str_sub(l->text, 0, p->problem_offset);
        line = 1;
        for (ptrdiff_t at; (at = str_index(before, '\n')) >= 0; line++)
            before = str_sub(before, (size_t)at + 1, before.n);
    }
    if (p->error == YAML_MEMORY_ERROR || !p->problem)
        return fail_at(l, 0, STR("out of memory"));
    return fail_at(l, line, str_z(p->problem));
}

static int next_event(struct loader *l)
{
    yaml_event_delete(&l->event);
    return yaml_parser_parse(&l->parser, &l->event) ? 0 : syntax_error(l);
}

/* ---- nodes ---- */

static int new_node(struct loader *l, enum json_type type, struct json **ret)
{
    struct json *v = arena_try(l->arena, 1, sizeof *v);
    l->nodes++;
    l->levels += l->depth;
    if (!v || l->nodes > YAML_NODES_MAX || l->levels > YAML_LEVELS_MAX)
        return fail_too_large(l);
    v->type = type;
    *ret = v;
    return 0;
}

static int copy_text(struct loader *l, struct str text, struct str *ret)
{
    char *p = arena_try(l->arena, text.n, 1);
    if (!p)
        return fail_too_large(l);
    if (text.n)
        memcpy(p, text.p, text.n);
    *ret = str_n(p, text.n);
    return 0;
}

static struct str event_text(const struct loader *l)
{
    return str_n((const char *)l->event.data.scalar.value, l->event.data.scalar.length);
}

static struct str event_tag(const struct loader *l)
{
    return str_z((const char *)l->event.data.scalar.tag);
}

static int set_anchor(struct loader *l, const yaml_char_t *name, struct json *value,
                      struct anchor **ret)
{
    *ret = NULL;
    if (!name)
        return 0;
    if (++l->anchor_count > YAML_ANCHORS_MAX)
        return fail(l, "document has too many anchors");
    struct anchor *anchor = arena_try(l->arena, 1, sizeof *anchor);
    if (!anchor)
        return fail_too_large(l);
    *anchor = (struct anchor){.value = value, .open = true};
    map_put(&l->anchors, str_z((const char *)name), anchor);
    *ret = anchor;
    return 0;
}

static void close_anchor(struct anchor *anchor)
{
    if (anchor)
        anchor->open = false;
}

/* ---- scalars ---- */

static const char *kind_tag(enum yaml_kind kind)
{
    switch (kind) {
    case YAML_STRING: return "str";
    case YAML_NULL: return "null";
    case YAML_BOOL: return "bool";
    case YAML_INT: return "int";
    case YAML_LONG:
    case YAML_FLOAT: return "float";
    case YAML_TIMESTAMP: return "timestamp";
    }
    never("kind is one of the above");
}

/* Do values of this kind go by that tag (without its prefix)? */
static bool tag_fits(struct str tag, struct yaml_scalar *v)
{
    if (str_eqz(tag, "float") && v->kind == YAML_INT && v->magnitude <= INT64_MAX) {
        v->kind = YAML_FLOAT;
        v->real = v->negative ? -(double)v->magnitude : (double)v->magnitude;
    }
    return str_eqz(tag, kind_tag(v->kind));
}

/* Tags other than those of resolvable types do not change a string. */
static bool is_resolvable(struct str *tag)
{
    static const char *const names[] = {"bool", "int", "float", "null", "timestamp"};
    if (!str_skip(tag, STR(TAG(""))))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eqz(*tag, names[i]))
            return true;
    return false;
}

static int resolve_scalar(struct loader *l, struct yaml_scalar *ret)
{
    struct str tag = event_tag(l), text = event_text(l);
    *ret = (struct yaml_scalar){YAML_STRING};
    if (!tag.p && l->event.data.scalar.plain_implicit)
        *ret = yaml_resolve(text, &l->digits);
    if (!is_resolvable(&tag))
        return 0;
    *ret = yaml_resolve(text, &l->digits);
    if (tag_fits(tag, ret))
        return 0;
    CLEANUP(buf_fini) struct buf message = BUF_INIT(KIB(1));
    buf_fmt(&message, "cannot decode !!%s `", kind_tag(ret->kind));
    utf8_put_valid(&message, str_sub(text, 0, SHOWN_MAX));
    buf_fmt(&message, "` as a !!%.*s", STR_ARG(tag));
    return fail_at(l, line_of(l), buf_view(&message));
}

/* The string that the event stands for, on the arena. */
static int read_string(struct loader *l, struct str *ret)
{
    struct str text = event_text(l), bytes;
    if (!str_eqz(event_tag(l), TAG("binary")))
        return copy_text(l, text, ret);
    if (!base64_decode(l->arena, text, &bytes))
        return fail(l, "!!binary value contains invalid base64 data");
    CLEANUP(buf_fini) struct buf valid = BUF_INIT(BUF_CAP_DEFAULT);
    utf8_put_valid(&valid, bytes);
    return valid.failed ? fail_too_large(l) : copy_text(l, buf_view(&valid), ret);
}

static int set_number(struct loader *l, const struct yaml_scalar *scalar, struct json *v)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(NUMBER_BYTES_MAX);
    v->type = JSON_NUMBER;
    if (scalar->kind == YAML_FLOAT) {
        if (!isfinite(scalar->real))
            return fail_about(l, "json: unsupported value: ", event_text(l), "");
        json_put_double(&text, scalar->real);
        return copy_text(l, buf_view(&text), &v->number);
    }
    if (scalar->negative && (scalar->kind == YAML_LONG || scalar->magnitude))
        buf_c(&text, '-');
    if (scalar->kind == YAML_INT)
        buf_u64(&text, scalar->magnitude);
    else
        buf_str(&text, scalar->digits);
    return text.failed ? fail_too_large(l) : copy_text(l, buf_view(&text), &v->number);
}

static int read_scalar(struct loader *l, struct json *v)
{
    struct yaml_scalar scalar;
    int r = resolve_scalar(l, &scalar);
    if (r < 0)
        return r;
    switch (scalar.kind) {
    case YAML_NULL: v->type = JSON_NULL; return 0;
    case YAML_BOOL:
        v->type = JSON_BOOL;
        v->boolean = scalar.boolean;
        return 0;
    case YAML_INT:
    case YAML_LONG:
    case YAML_FLOAT: return set_number(l, &scalar, v);
    case YAML_STRING:
    case YAML_TIMESTAMP: break;
    }
    v->type = JSON_STRING;
    return read_string(l, &v->string);
}

/* ---- aliases ---- */

static int copy_tree(struct loader *l, const struct json *v, uint32_t depth, struct json **ret);

static int copy_array(struct loader *l, const struct json *v, uint32_t depth, struct json *to)
{
    size_t from = l->scratch.items.n;
    for (size_t i = 0; i < v->array.n; i++) {
        struct json *item;
        int r = copy_tree(l, v->array.v[i], depth, &item);
        if (r < 0)
            return r;
        if (!json_scratch_item(&l->scratch, item))
            return fail_too_large(l);
    }
    return json_take_items(&l->scratch, from, l->arena, to) ? 0 : fail_too_large(l);
}

static int copy_object(struct loader *l, const struct json *v, uint32_t depth, struct json *to)
{
    size_t from = l->scratch.members.n;
    for (size_t i = 0; i < v->object.n; i++) {
        struct json *value;
        int r = copy_tree(l, v->object.v[i].value, depth, &value);
        if (r < 0)
            return r;
        if (!json_scratch_member(&l->scratch, v->object.v[i].key, value))
            return fail_too_large(l);
        l->copied_bytes += v->object.v[i].key.n;
    }
    return json_take_members(&l->scratch, from, l->arena, to) ? 0 : fail_too_large(l);
}

/* A tree of its own for each alias, so that its owner may edit it; texts are shared. */
static int copy_tree(struct loader *l, const struct json *v, uint32_t depth, struct json **ret)
{
    if (l->nodes >= YAML_NODES_MAX || l->copied_bytes > YAML_COPIED_BYTES_MAX)
        return fail(l, "document contains excessive aliasing");
    if (depth == JSON_DEPTH_MAX && (v->type == JSON_ARRAY || v->type == JSON_OBJECT))
        return fail(l, "nested too deeply");
    int r = new_node(l, v->type, ret);
    if (r < 0)
        return r;
    if (v->type == JSON_ARRAY)
        return copy_array(l, v, depth + 1, *ret);
    if (v->type == JSON_OBJECT)
        return copy_object(l, v, depth + 1, *ret);
    **ret = *v;
    l->copied_bytes += v->type == JSON_STRING   ? v->string.n
                       : v->type == JSON_NUMBER ? v->number.n
                                                : 0;
    return 0;
}

static int read_alias(struct loader *l, struct json **ret)
{
    struct str name = str_z((const char *)l->event.data.alias.anchor);
    const struct anchor *anchor = map_get(&l->anchors, name);
    if (!anchor)
        return fail_about(l, "unknown anchor '", name, "' referenced");
    if (anchor->open)
        return fail_about(l, "anchor '", name, "' value contains itself");
    return copy_tree(l, anchor->value, l->depth, ret);
}

/* ---- mappings ---- */

static int read_node(struct loader *l, struct json **ret);

/* A key becomes a string as sigs.k8s.io/yaml makes it one. */
static int key_text(struct loader *l, const struct yaml_scalar *scalar, struct buf *to)
{
    struct buf *digits = &l->digits;
    switch (scalar->kind) {
    case YAML_NULL: return fail(l, "unsupported map key of type: null");
    case YAML_BOOL: buf_z(to, scalar->boolean ? "true" : "false"); return 0;
    case YAML_INT:
        buf_z(to, scalar->negative && scalar->magnitude ? "-" : "");
        buf_u64(to, scalar->magnitude);
        return 0;
    case YAML_LONG: yaml_put_float(to, strtod(digits->p, NULL), true); return 0;
    case YAML_FLOAT: yaml_put_float(to, scalar->real, true); return 0;
    case YAML_STRING:
    case YAML_TIMESTAMP: break;
    }
    never("strings are taken as they are");
}

static bool is_string(const struct yaml_scalar *scalar)
{
    return scalar->kind == YAML_STRING || scalar->kind == YAML_TIMESTAMP;
}

struct key {
    struct str text;
    bool quoted; /* when shown: it was a string */
};

static int read_scalar_key(struct loader *l, struct key *ret)
{
    struct yaml_scalar scalar;
    int r = resolve_scalar(l, &scalar);
    if (r < 0)
        return r;
    ret->quoted = is_string(&scalar);
    if (ret->quoted)
        return read_string(l, &ret->text);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB(1));
    r = key_text(l, &scalar, &text);
    return r < 0 ? r : copy_text(l, buf_view(&text), &ret->text);
}

static int read_alias_key(struct loader *l, struct key *ret)
{
    struct json *v;
    int r = read_alias(l, &v);
    if (r < 0)
        return r;
    ret->quoted = v->type == JSON_STRING;
    switch (v->type) {
    case JSON_STRING: ret->text = v->string; return 0;
    case JSON_BOOL: ret->text = v->boolean ? STR("true") : STR("false"); return 0;
    case JSON_NUMBER: ret->text = v->number; return 0;
    case JSON_NULL: return fail(l, "unsupported map key of type: null");
    case JSON_ARRAY:
    case JSON_OBJECT:
    case JSON_BAD: break;
    }
    return fail(l, "invalid map key: not a scalar");
}

static int read_key(struct loader *l, struct key *ret)
{
    if (l->event.type == YAML_ALIAS_EVENT)
        return read_alias_key(l, ret);
    if (l->event.type != YAML_SCALAR_EVENT)
        return fail(l, "invalid map key: not a scalar");
    int r = read_scalar_key(l, ret);
    if (r < 0 || !l->event.data.scalar.anchor)
        return r;
    struct json *v = NULL;
    struct anchor *anchor;
    r = new_node(l, JSON_STRING, &v);
    if (r == 0)
        r = set_anchor(l, l->event.data.scalar.anchor, v, &anchor);
    if (r == 0)
        r = read_scalar(l, v);
    if (r == 0)
        close_anchor(anchor);
    return r;
}

static bool is_merge_key(const struct loader *l)
{
    return l->event.type == YAML_SCALAR_EVENT && str_eqz(event_text(l), "<<") &&
           (l->event.data.scalar.plain_implicit || str_eqz(event_tag(l), TAG("merge")));
}

/* The value of a merge key: keeps its mappings as items until the mapping ends. */
static int read_merge(struct loader *l)
{
    int r = next_event(l);
    if (r < 0)
        return r;
    bool list = l->event.type == YAML_SEQUENCE_START_EVENT;
    struct json *v;
    r = read_node(l, &v);
    if (r < 0)
        return r;
    size_t n = list ? v->array.n : 1;
    for (size_t i = 0; i < n; i++) {
        struct json *source = list ? v->array.v[i] : v;
        if (source->type != JSON_OBJECT)
            return fail(l, "map merge requires map or sequence of maps as the value");
        if (!json_scratch_item(&l->scratch, source))
            return fail_too_large(l);
    }
    return 0;
}

static int add_member(struct loader *l, struct str key, struct json *value, struct origin origin)
{
    vec_push(&l->origins, origin);
    return json_scratch_member(&l->scratch, key, value) ? 0 : fail_too_large(l);
}

static int read_pair(struct loader *l)
{
    struct key key;
    struct json *value;
    int r = read_key(l, &key);
    if (r == 0)
        r = next_event(l);
    if (r < 0)
        return r;
    struct origin origin = {.line = (uint32_t)line_of(l), .quoted = key.quoted};
    r = read_node(l, &value);
    return r < 0 ? r : add_member(l, key.text, value, origin);
}

/* Adds the members of the merged mappings behind the mapping's own. */
static int add_merged(struct loader *l, size_t from)
{
    int r = 0;
    for (size_t i = from; i < l->scratch.items.n; i++) {
        const struct json *source = l->scratch.items.v[i];
        for (size_t m = 0; m < source->object.n && r == 0; m++)
            r = add_member(l, source->object.v[m].key, source->object.v[m].value,
                           (struct origin){.merged = true});
    }
    l->scratch.items.n = from;
    return r;
}

static void note_repeated(struct loader *l, struct str key, struct origin origin)
{
    struct str shown = str_sub(key, 0, SHOWN_MAX);
    buf_fmt(&l->problems, "\n  line %u: key ", origin.line);
    if (origin.quoted)
        json_put_string(&l->problems, shown);
    else
        buf_str(&l->problems, shown);
    buf_z(&l->problems, " already set in map");
}

/* Drops members whose key an earlier one has; of the mapping's own the last value stays. Those are
 * noted, not refused at once, so that all of a document are named. */
static int drop_repeated(struct loader *l, size_t from)
{
    struct json_member *v = l->scratch.members.v + from;
    size_t n = l->scratch.members.n - from, kept = 0;
    CLEANUP(free_ptr) size_t *first = calloc(n, sizeof *first);
    if (!first || !json_find_repeated(v, n, first))
        return fail_too_large(l);
    for (size_t i = 0; i < n; i++) {
        struct origin origin = l->origins.v[from + i];
        if (first[i] == i || origin.merged)
            continue;
        v[first[i]].value = v[i].value;
        note_repeated(l, v[i].key, origin);
    }
    for (size_t i = 0; i < n; i++)
        if (first[i] == i)
            v[kept++] = v[i];
    l->scratch.members.n = from + kept;
    return 0;
}

static int read_mapping(struct loader *l, struct json *to)
{
    size_t from = l->scratch.members.n, merges = l->scratch.items.n;
    int r = next_event(l);
    while (r == 0 && l->event.type != YAML_MAPPING_END_EVENT) {
        r = is_merge_key(l) ? read_merge(l) : read_pair(l);
        if (r == 0)
            r = next_event(l);
    }
    if (r == 0)
        r = add_merged(l, merges);
    if (r == 0 && l->scratch.members.n - from > 1)
        r = drop_repeated(l, from);
    if (r < 0)
        return r;
    l->origins.n = from;
    return json_take_members(&l->scratch, from, l->arena, to) ? 0 : fail_too_large(l);
}

static int read_sequence(struct loader *l, struct json *to)
{
    size_t from = l->scratch.items.n;
    for (;;) {
        struct json *item;
        int r = next_event(l);
        if (r < 0)
            return r;
        if (l->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        r = read_node(l, &item);
        if (r < 0)
            return r;
        if (!json_scratch_item(&l->scratch, item))
            return fail_too_large(l);
    }
    return json_take_items(&l->scratch, from, l->arena, to) ? 0 : fail_too_large(l);
}

/* ---- documents ---- */

static int read_container(struct loader *l, struct json *v)
{
    if (l->depth == JSON_DEPTH_MAX)
        return fail(l, "nested too deeply");
    l->depth++;
    int r = v->type == JSON_OBJECT ? read_mapping(l, v) : read_sequence(l, v);
    l->depth--;
    return r;
}

/* The node that the current event begins; on return the current event is its last one. */
static int read_node(struct loader *l, struct json **ret)
{
    const yaml_char_t *name = NULL;
    enum json_type type = JSON_STRING;
    if (l->event.type == YAML_ALIAS_EVENT)
        return read_alias(l, ret);
    if (l->event.type == YAML_SCALAR_EVENT) {
        name = l->event.data.scalar.anchor;
    } else if (l->event.type == YAML_SEQUENCE_START_EVENT) {
        name = l->event.data.sequence_start.anchor;
        type = JSON_ARRAY;
    } else {
        must(l->event.type == YAML_MAPPING_START_EVENT);
        name = l->event.data.mapping_start.anchor;
        type = JSON_OBJECT;
    }
    struct anchor *anchor;
    int r = new_node(l, type, ret);
    if (r == 0)
        r = set_anchor(l, name, *ret, &anchor);
    if (r == 0)
        r = type == JSON_STRING ? read_scalar(l, *ret) : read_container(l, *ret);
    if (r == 0)
        close_anchor(anchor);
    return r;
}

/* 1: there is no further document. */
static int read_document(struct loader *l, struct json **ret)
{
    int r = next_event(l);
    if (r < 0)
        return r;
    if (l->event.type == YAML_STREAM_END_EVENT)
        return 1;
    must(l->event.type == YAML_DOCUMENT_START_EVENT);
    map_clear(&l->anchors);
    r = next_event(l);
    if (r == 0)
        r = read_node(l, ret);
    if (r == 0)
        r = next_event(l);
    if (r < 0)
        return r;
    must(l->event.type == YAML_DOCUMENT_END_EVENT);
    return 0;
}

static int refuse_repeated(struct loader *l)
{
    if (l->problems.n == 0)
        return 0;
    struct str all = arena_cat(l->e->arena, STR("unmarshal errors:"), buf_view(&l->problems));
    return fail_at(l, 0, all);
}

/* libyaml compares each %TAG directive with all before it. The zeros are those of UTF-16. */
static bool has_many_tag_directives(struct str text)
{
    size_t count = 0;
    for (ptrdiff_t at; (at = str_index(text, '%')) >= 0;) {
        const char *letter = "TAG";
        size_t i = (size_t)at + 1;
        for (; i < text.n && *letter && (text.p[i] == *letter || text.p[i] == 0); i++)
            letter += text.p[i] != 0;
        count += *letter == 0;
        text = str_sub(text, i, text.n);
    }
    return count > YAML_TAG_DIRECTIVES_MAX;
}

static int start(struct loader *l)
{
    if (l->text.n > YAML_BYTES_MAX)
        return fail_at(l, 0, STR("document is too large"));
    if (has_many_tag_directives(l->text))
        return fail_at(l, 0, STR("document has too many %TAG directives"));
    if (!yaml_parser_initialize(&l->parser))
        return fail_at(l, 0, STR("out of memory"));
    yaml_parser_set_input_string(&l->parser, (const unsigned char *)l->text.p, l->text.n);
    return next_event(l); /* the stream's start */
}

static int read_one(struct loader *l, struct json **ret)
{
    int r = start(l);
    if (r == 0)
        r = read_document(l, ret);
    return r == 1 ? new_node(l, JSON_NULL, ret) : r;
}

int yaml_parse(struct arena *a, struct str text, struct json **ret, struct err *e)
{
    CLEANUP(loader_fini) struct loader l;
    loader_init(&l, a, STR_NULL, text, e);
    int r = read_one(&l, ret);
    return r < 0 ? r : refuse_repeated(&l);
}

int yaml_parse_lenient(struct arena *a, struct str text, struct json **ret,
                       struct str *ret_repeated, struct err *e)
{
    CLEANUP(loader_fini) struct loader l;
    loader_init(&l, a, STR_NULL, text, e);
    *ret_repeated = STR_NULL;
    int r = read_one(&l, ret);
    if (r == 0 && l.problems.n)
        *ret_repeated = arena_cat(e->arena, STR("yaml: unmarshal errors:"), buf_view(&l.problems));
    return r;
}

int yaml_parse_all(struct arena *a, struct str name, struct str text, struct json ***ret_v,
                   size_t *ret_n, struct err *e)
{
    CLEANUP(loader_fini) struct loader l;
    loader_init(&l, a, name, text, e);
    struct json *document, all = {.type = JSON_ARRAY};
    int r = start(&l);
    while (r == 0 && (r = read_document(&l, &document)) == 0) {
        r = refuse_repeated(&l);
        if (document->type != JSON_NULL && !json_scratch_item(&l.scratch, document))
            r = fail_too_large(&l);
    }
    if (r < 0)
        return r;
    if (!json_take_items(&l.scratch, 0, a, &all))
        return fail_too_large(&l);
    *ret_v = all.array.v;
    *ret_n = all.array.n;
    return 0;
}
