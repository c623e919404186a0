/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Defaults, preparation and checks of the built-in kinds, from tables.
 *
 * test/data/kinds/<group>.txt holds objects and, for each, rows of changes to it:
 *
 *   base
 *   <a manifest in YAML>
 *   rows
 *   create spec.replicas=-1 ; spec.paused=true
 *       spec.replicas Invalid must be greater than or equal to 0
 *   update spec.selector.matchLabels.a=b from spec.replicas=2
 *       spec.selector Invalid field is immutable
 *   default spec.replicas=
 *       spec.replicas=1
 *
 * A row is a mode and assignments `path=yaml` (nothing after "=" removes it), separated by " ; ".
 * `create`, `update` (base is the old object, changed by what follows " from ") and `status` list
 * all causes that are expected: field, reason, part of the message; none: the object is good.
 * "<subresource>:" as first word of an update row names it. `default` and `prepare` list
 * values afterwards; `prepare` with " from " is an update. Paths: a.b[0]["c.d"].
 */
#include "base/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "api/hooks.h"
#include "api/registry.h"
#include "api/validate.h"
#include "codec/yaml.h"

static struct str slurp(struct arena *a, struct str path)
{
    CLEANUP(close_fd) int fd = open(arena_z(a, path), O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        fail_msg("%.*s: cannot be read", STR_ARG(path));
    char *p = arena_alloc(a, (size_t)st.st_size + 1);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    return str_n(p, (size_t)st.st_size);
}

/* Where we are, for messages. */
static struct {
    struct str file;
    int line;
} at;

/* A row that does not hold: told, counted, and the others go on. */
static int misses;

#define MISS(...)                                                                                  \
    do {                                                                                           \
        print_error("%.*s:%d: ", STR_ARG(at.file), at.line);                                       \
        print_error(__VA_ARGS__);                                                                  \
        print_error("\n");                                                                         \
        misses++;                                                                                  \
    } while (0)

/* A table that cannot be read. */
#define FAIL(...)                                                                                  \
    do {                                                                                           \
        print_error("%.*s:%d: ", STR_ARG(at.file), at.line);                                       \
        fail_msg(__VA_ARGS__);                                                                     \
    } while (0)

/* ---- paths into JSON trees ---- */

/* Takes the next part of a path: a name, or an index (ret_name->p NULL). */
static bool next_part(struct str *path, struct str *ret_name, size_t *ret_index)
{
    size_t n = 0;
    (void)str_skip(path, STR("."));
    if (!path->n)
        return false;
    if (str_skip(path, STR("[\""))) {
        ptrdiff_t end = str_find(*path, STR("\"]"));
        *ret_name = str_sub(*path, 0, (size_t)end);
        *path = str_sub(*path, (size_t)end + 2, path->n);
        return true;
    }
    if (str_skip(path, STR("["))) {
        int64_t index;
        ptrdiff_t end = str_index(*path, ']');
        if (end < 0 || !str_to_i64(str_sub(*path, 0, (size_t)end), &index))
            FAIL("bad index in path");
        *ret_name = STR_NULL;
        *ret_index = (size_t)index;
        *path = str_sub(*path, (size_t)end + 1, path->n);
        return true;
    }
    while (n < path->n && path->p[n] != '.' && path->p[n] != '[')
        n++;
    *ret_name = str_sub(*path, 0, n);
    *path = str_sub(*path, n, path->n);
    return true;
}

static struct json *tree_get(struct json *o, struct str path)
{
    struct str name;
    size_t index;
    while (o && next_part(&path, &name, &index)) {
        if (name.p)
            o = json_get(o, name);
        else
            o = o->type == JSON_ARRAY && index < o->array.n ? o->array.v[index] : NULL;
    }
    return o;
}

/* Sets (or removes, value NULL) what the path leads to; objects and lists on the way are made. */
static void tree_set(struct arena *a, struct json *o, struct str path, struct json *value)
{
    struct str name, rest = path;
    size_t index = 0;
    assert_true(next_part(&rest, &name, &index));
    bool last = rest.n == 0;
    if (name.p && last && !value) {
        (void)json_del(o, name);
        return;
    }
    struct json *next = name.p ? json_get(o, name) : index < o->array.n ? o->array.v[index] : NULL;
    if (last) {
        next = value;
    } else if (!next || next->type == JSON_NULL) {
        next = str_has_prefix(rest, STR("[")) && !str_has_prefix(rest, STR("[\"")) ? json_array(a)
                                                                                   : json_object(a);
    }
    if (name.p)
        json_set(a, o, name, next);
    else if (index < o->array.n)
        o->array.v[index] = next;
    else
        json_push(a, o, next);
    if (!last)
        tree_set(a, next, rest, value);
}

static struct json *from_yaml(struct arena *a, struct str text)
{
    struct err e = ERR_INIT(a);
    struct json *v;
    if (yaml_parse(a, text, &v, &e) < 0)
        FAIL("%.*s: %.*s", STR_ARG(text), STR_ARG(e.message));
    return v;
}

/* Splits at the separator, a whole word. */
static bool next_piece(struct str *s, struct str separator, struct str *ret)
{
    if (!s->p)
        return false;
    ptrdiff_t i = str_find(*s, separator);
    *ret = str_trim(i < 0 ? *s : str_sub(*s, 0, (size_t)i));
    *s = i < 0 ? STR_NULL : str_sub(*s, (size_t)i + separator.n, s->n);
    return true;
}

static void apply(struct arena *a, struct json *o, struct str assignments)
{
    struct str one, path, value;
    while (next_piece(&assignments, STR(" ; "), &one)) {
        if (!one.n)
            continue;
        if (!str_cut(one, '=', &path, &value))
            FAIL("no '=' in \"%.*s\"", STR_ARG(one));
        tree_set(a, o, path, value.n ? from_yaml(a, value) : NULL);
    }
}

/* ---- objects ---- */

struct subject {
    struct arena *arena;
    const struct resource_def *resource;
    struct json *base;
};

static void *decode(struct subject *s, const struct json *tree)
{
    struct err e = ERR_INIT(s->arena);
    struct decode_notes notes = {.arena = s->arena};
    void *obj = arena_alloc(s->arena, s->resource->desc->size);
    struct str text = json_text(s->arena, tree);
    if (desc_decode_json(s->resource->desc, text, s->arena, obj, &notes, &e) < 0)
        FAIL("%.*s", STR_ARG(e.message));
    if (notes.unknown.n)
        FAIL("unknown field %.*s", STR_ARG(notes.unknown.v[0]));
    return obj;
}

static struct json *encode(struct subject *s, const void *obj)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    struct err e = ERR_INIT(s->arena);
    struct json *tree;
    desc_encode_json(s->resource->desc, obj, &b);
    assert_int_equal(json_parse(s->arena, buf_to_arena(&b, s->arena), &tree, &e), 0);
    return tree;
}

static void set_defaults(struct subject *s, void *obj)
{
    desc_default(s->resource->desc, obj, s->arena);
    if (s->resource->hooks && s->resource->hooks->defaults)
        s->resource->hooks->defaults(s->arena, obj);
}

static struct metav1_object_meta *meta_of(const struct resource_def *r, const void *obj)
{
    const struct field *f = desc_field(r->desc, STR("metadata"));
    assert_non_null(f);
    return (void *)((uintptr_t)obj + f->offset);
}

static void prepare(struct subject *s, void *obj, const void *old)
{
    if (s->resource->hooks && s->resource->hooks->prepare)
        s->resource->hooks->prepare(s->arena, obj, old);
}

/* An update does not touch the status. */
static void keep_status(const struct resource_def *r, void *obj, const void *old)
{
    const struct field *f = desc_field(r->desc, STR("status"));
    if (f && f->kind == FK_MESSAGE)
        memcpy((char *)obj + f->offset, (const char *)old + f->offset, f->message->size);
}

/* As the server does it at create. */
static void *make(struct subject *s, const struct json *tree)
{
    void *obj = decode(s, tree);
    set_defaults(s, obj);
    prepare(s, obj, NULL);
    return obj;
}

static void check(struct subject *s, struct validation *v, const void *obj, const void *old,
                  bool status)
{
    const struct kind_hooks *h = s->resource->hooks;
    const struct field_path *p = AT(NULL, "metadata");
    const struct metav1_object_meta *meta = meta_of(s->resource, obj);
    if (old)
        check_object_meta_update(v, p, meta, meta_of(s->resource, old));
    else
        check_object_meta(v, p, meta, s->resource->namespaced, h ? h->valid_name : NULL);
    if (status && h && h->validate_status)
        h->validate_status(v, obj, old);
    else if (!status && h && h->validate)
        h->validate(v, obj, old);
}

/* The next word; one in quotes may have blanks. */
static struct str expect_part(struct str *line)
{
    if (str_skip(line, STR("\""))) {
        ptrdiff_t end = str_index(*line, '"');
        struct str quoted = str_sub(*line, 0, (size_t)end);
        *line = str_trim(str_sub(*line, (size_t)end + 1, line->n));
        return quoted;
    }
    ptrdiff_t blank = str_index(*line, ' ');
    size_t n = blank < 0 ? line->n : (size_t)blank;
    struct str part = str_sub(*line, 0, n);
    *line = str_trim(str_sub(*line, n, line->n));
    return part;
}

static void print_causes(const struct err *e)
{
    for (const struct err_cause *c = e->causes; c; c = c->next)
        print_error("    %.*s %.*s %.*s\n", STR_ARG(c->field), STR_ARG(c->reason),
                    STR_ARG(c->message));
}

/* Is there a cause for the line "field Reason message part"? */
static bool is_caused(struct arena *a, const struct err *e, struct str line)
{
    struct str field = expect_part(&line), reason = expect_part(&line);
    struct str full = str_eq(reason, STR("Internal")) ? STR("InternalError")
                                                      : arena_cat(a, STR("FieldValue"), reason);
    for (const struct err_cause *c = e->causes; c; c = c->next)
        if (str_eq(c->field, field) && str_eq(c->reason, full) && str_find(c->message, line) >= 0)
            return true;
    return false;
}

/* ---- rows ---- */

struct row {
    struct str mode, subresource, changes, old_changes;
    struct str expected[16]; /* indented lines */
    size_t n;
};

static void check_values(struct subject *s, const struct row *r, const void *obj)
{
    struct json *tree = encode(s, obj);
    for (size_t i = 0; i < r->n; i++) {
        struct str path, value;
        assert_true(str_cut(r->expected[i], '=', &path, &value));
        struct json *got = tree_get(tree, path);
        struct json *want = value.n ? from_yaml(s->arena, value) : NULL;
        if ((got == NULL) != (want == NULL) || (want && !json_eq(got, want)))
            MISS("%.*s is %.*s, want %.*s", STR_ARG(path),
                 STR_ARG(got ? json_text(s->arena, got) : STR("absent")), STR_ARG(value));
    }
}

/* The object before and after the changes of a row, as an update meets them. */
static void *change(struct subject *s, const struct row *r, struct json *tree, void **ret_old)
{
    bool status = str_eq(r->mode, STR("status"));
    tree_set(s->arena, tree, STR("metadata.resourceVersion"), json_string(s->arena, STR("1")));
    void *old = decode(s, tree);
    set_defaults(s, old);
    if (!tree_get(tree, STR("status")))
        prepare(s, old, NULL);
    tree = encode(s, old);
    apply(s->arena, tree, r->changes);
    void *obj = decode(s, tree);
    set_defaults(s, obj);
    if (!status) {
        keep_status(s->resource, obj, old);
        prepare(s, obj, old);
    }
    *ret_old = old;
    return obj;
}

static void run_check(struct subject *s, const struct row *r, struct json *tree)
{
    struct err e = ERR_INIT(s->arena);
    struct validation v = {.arena = s->arena, .err = &e, .subresource = r->subresource};
    bool status = str_eq(r->mode, STR("status"));
    void *obj, *old = NULL;
    v.is_update = status || str_eq(r->mode, STR("update"));
    obj = v.is_update ? change(s, r, tree, &old) : make(s, tree);
    check(s, &v, obj, old, status);
    for (size_t i = 0; i < r->n; i++)
        if (!is_caused(s->arena, &e, r->expected[i])) {
            MISS("not found: %.*s", STR_ARG(r->expected[i]));
            print_causes(&e);
        }
    if (e.cause_count != r->n) {
        MISS("%u causes, want %zu", e.cause_count, r->n);
        print_causes(&e);
    }
}

static void run_row(struct subject *s, const struct row *r)
{
    struct json *tree = json_copy(s->arena, s->base);
    void *old;
    bool with_old = r->old_changes.p != NULL;
    bool is_update = with_old || str_eq(r->mode, STR("update")) || str_eq(r->mode, STR("status"));
    apply(s->arena, tree, with_old ? r->old_changes : STR(""));
    if (!is_update)
        apply(s->arena, tree, r->changes);
    if (str_eq(r->mode, STR("default"))) {
        void *obj = decode(s, tree);
        set_defaults(s, obj);
        set_defaults(s, obj); /* idempotent */
        check_values(s, r, obj);
    } else if (str_eq(r->mode, STR("prepare"))) {
        check_values(s, r, is_update ? change(s, r, tree, &old) : make(s, tree));
    } else if (str_eq(r->mode, STR("create")) || str_eq(r->mode, STR("update")) ||
               str_eq(r->mode, STR("status"))) {
        run_check(s, r, tree);
    } else {
        FAIL("unknown mode \"%.*s\"", STR_ARG(r->mode));
    }
}

static void read_row(struct row *r, struct str line)
{
    struct str old;
    *r = (struct row){0};
    r->mode = expect_part(&line);
    r->subresource = STR("");
    if (line.n && line.p[0] != '"') {
        struct str rest = line, first = expect_part(&rest);
        if (str_chop(&first, STR(":")) && format_ok(FORMAT_DNS_LABEL, first)) {
            r->subresource = first;
            line = rest;
        }
    }
    ptrdiff_t from = str_find(line, STR(" from "));
    if (str_has_prefix(line, STR("from "))) {
        r->changes = STR("");
        r->old_changes = str_sub(line, 5, line.n);
    } else if (str_chop(&line, STR(" from"))) {
        r->changes = line;
        r->old_changes = STR("");
    } else if (from >= 0) {
        old = str_sub(line, (size_t)from + 6, line.n);
        r->changes = str_sub(line, 0, (size_t)from);
        r->old_changes = old;
    } else {
        r->changes = line;
    }
}

static void take_base(struct subject *s, struct str text)
{
    struct str group, version;
    s->base = from_yaml(s->arena, text);
    if (!api_version_split(json_str(json_getz(s->base, "apiVersion")), &group, &version))
        FAIL("no apiVersion");
    s->resource = resource_find_kind(group, version, json_str(json_getz(s->base, "kind")));
    if (!s->resource)
        FAIL("no such kind");
}

static int by_name(const void *a, const void *b)
{
    return str_qsort(a, b);
}

/* Calls fn for each file of a folder, in the order of names. */
static void each_file(const char *dir, void (*fn)(struct str path))
{
    struct arena a = ARENA_INIT;
    VEC(struct str) names = {0};
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));)
        if (f->d_name[0] != '.')
            vec_push(&names, arena_fmt(&a, "%s/%s", dir, f->d_name));
    closedir(d);
    assert_true(names.n > 0);
    qsort(names.v, names.n, sizeof *names.v, by_name);
    LIST_EACH (name, &names)
        fn(*name);
    vec_free(&names);
    arena_fini(&a);
}

static size_t rows_run;

static void finish_row(struct subject *s, struct row *r, int line)
{
    if (!r->mode.p)
        return;
    int here = at.line;
    at.line = line;
    run_row(s, r);
    at.line = here;
    *r = (struct row){0};
    rows_run++;
}

static void run_table(struct str path)
{
    struct arena a = ARENA_INIT;
    struct subject s = {.arena = &a};
    struct row row = {0};
    struct str rest = slurp(&a, path), line, base = STR_NULL;
    bool in_base = false;
    int row_line = 0;
    at.file = path;
    for (at.line = 1; str_next(&rest, '\n', &line); at.line++) {
        if (str_eq(line, STR("base"))) {
            finish_row(&s, &row, row_line);
            in_base = true;
            base = str_n(line.p + line.n + 1, 0);
        } else if (in_base && str_eq(line, STR("rows"))) {
            take_base(&s, base);
            in_base = false;
        } else if (in_base) {
            base.n = (size_t)(line.p + line.n + 1 - base.p);
        } else if (str_has_prefix(line, STR("    "))) {
            must(row.n < ARRAY_LEN(row.expected));
            row.expected[row.n++] = str_trim(line);
        } else if (line.n && line.p[0] != '#') {
            finish_row(&s, &row, row_line);
            read_row(&row, line);
            row_line = at.line;
        }
    }
    finish_row(&s, &row, row_line);
    arena_fini(&a);
}

static void tables(void **state)
{
    misses = 0;
    each_file(TEST_DATA "/kinds", run_table);
    assert_int_equal(misses, 0);
    assert_true(rows_run > 300);
    print_message("%zu rows\n", rows_run);
}

/* ---- manifests that must be accepted as they are ---- */

static size_t manifests_seen;

static void check_manifest(struct arena *a, struct json *tree)
{
    struct str group, version;
    struct err e = ERR_INIT(a);
    struct validation v = {.arena = a, .err = &e};
    struct subject s = {.arena = a, .base = tree};
    if (!api_version_split(json_str(json_getz(tree, "apiVersion")), &group, &version))
        FAIL("no apiVersion");
    s.resource = resource_find_kind(group, version, json_str(json_getz(tree, "kind")));
    if (!s.resource)
        FAIL("no kind %.*s", STR_ARG(json_str(json_getz(tree, "kind"))));
    if (s.resource->namespaced && !tree_get(tree, STR("metadata.namespace")))
        tree_set(a, tree, STR("metadata.namespace"), json_string(a, STR("default")));
    void *obj = make(&s, tree);
    check(&s, &v, obj, NULL, false);
    /* The same again as an update that changes nothing. */
    void *old = desc_copy(s.resource->desc, a, obj), *now = desc_copy(s.resource->desc, a, obj);
    meta_of(s.resource, old)->resource_version = STR("1");
    meta_of(s.resource, now)->resource_version = STR("1");
    set_defaults(&s, now);
    prepare(&s, now, old);
    check(&s, &v, now, old, false);
    if (!desc_equal(s.resource->desc, now, old))
        MISS("%.*s: an update that changes nothing does", STR_ARG(json_text(a, tree)));
    if (v.faults) {
        print_causes(&e);
        MISS("%s %.*s: refused", s.resource->kind, STR_ARG(meta_of(s.resource, obj)->name));
    }
    manifests_seen++;
}

static void check_manifests(struct str path)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json **docs;
    size_t n;
    at.file = path;
    at.line = 0;
    if (yaml_parse_all(&a, path, slurp(&a, path), &docs, &n, &e) < 0)
        FAIL("%.*s", STR_ARG(e.message));
    for (size_t i = 0; i < n; i++)
        check_manifest(&a, docs[i]);
    arena_fini(&a);
}

static void manifests(void **state)
{
    misses = 0;
    each_file(TEST_DATA "/manifests", check_manifests);
    assert_int_equal(misses, 0);
    print_message("%zu objects\n", manifests_seen);
}

/* ---- all hooks survive all kinds of objects ---- */

/* An empty object, and one with every field set, do not crash a hook. */
static void hooks_take_anything(void **state)
{
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < resource_def_count; i++) {
        const struct resource_def *r = &resource_defs[i];
        struct err e = ERR_INIT(&a);
        struct validation v = {.arena = &a, .err = &e, .subresource = STR("")};
        struct subject s = {.arena = &a, .resource = r};
        struct str file = arena_fmt(&a, TEST_DATA "/roundtrip/%s.%s.%s.json",
                                    r->group[0] ? r->group : "core", r->version, r->kind);
        void *empty = arena_alloc(&a, r->desc->size);
        at.file = file;
        at.line = 0;
        if (!desc_field(r->desc, STR("metadata")))
            continue;
        set_defaults(&s, empty);
        prepare(&s, empty, NULL);
        check(&s, &v, empty, NULL, false);
        check(&s, &v, empty, empty, true);
        if (access(arena_z(&a, file), R_OK) < 0)
            continue;
        void *full = decode(&s, from_yaml(&a, slurp(&a, file)));
        set_defaults(&s, full);
        check(&s, &v, full, NULL, false);
        check(&s, &v, full, empty, false);
        check(&s, &v, empty, full, false);
        check(&s, &v, full, empty, true);
        check(&s, &v, empty, full, true);
        prepare(&s, full, empty);
        prepare(&s, empty, full);
        prepare(&s, full, NULL);
        arena_reset(&a);
    }
    arena_fini(&a);
}

TESTS(cmocka_unit_test(tables), cmocka_unit_test(manifests), cmocka_unit_test(hooks_take_anything))
