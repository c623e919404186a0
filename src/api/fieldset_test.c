/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "api/fieldset.h"

static struct json *parse(struct arena *a, const char *text)
{
    struct err e = ERR_INIT(a);
    struct json *v;
    if (json_parse(a, str_z(text), &v, &e) != 0)
        fail_msg("bad test input %s: %.*s", text, STR_ARG(e.message));
    return v;
}

static struct str text_of(struct fields_pool *pool, const struct fieldset *s)
{
    struct str text = json_text(pool->arena, fieldset_json(pool, s));
    assert_false(pool->full);
    return text;
}

static void json_form(void **state)
{
    static const struct {
        const char *in, *out; /* out NULL: as in; "!": the error */
    } rows[] = {
        {"{}", NULL},
        {"null", "{}"},
        {"{\"f:a\":{}}", NULL},
        {"{\"f:a\":null}", "{\"f:a\":{}}"},
        {"{\"f:a\":{\".\":{}}}", "{\"f:a\":{}}"},
        {"{\"f:a\":{\".\":{},\"f:b\":{}}}", NULL},
        {"{\"f:b\":{},\"f:a\":{}}", "{\"f:a\":{},\"f:b\":{}}"},
        {"{\"f:a\":{\"f:c\":{},\".\":{},\"f:b\":{}}}",
         "{\"f:a\":{\".\":{},\"f:b\":{},\"f:c\":{}}}"},
        /* names, keys, values, indices */
        {"{\"i:10\":{},\"i:9\":{},\"v:true\":{},\"v:\\\"x\\\"\":{},\"v:2\":{},\"v:10\":{},"
         "\"k:{\\\"b\\\":1}\":{},\"k:{\\\"a\\\":\\\"x\\\"}\":{},\"k:{\\\"a\\\":5}\":{},\"f:z\":{}}",
         "{\"f:z\":{},\"k:{\\\"a\\\":5}\":{},\"k:{\\\"a\\\":\\\"x\\\"}\":{},\"k:{\\\"b\\\":1}\":{},"
         "\"v:2\":{},\"v:10\":{},\"v:\\\"x\\\"\":{},\"v:true\":{},\"i:9\":{},\"i:10\":{}}"},
        /* keys in order, without blanks, numbers and strings as Go writes them */
        {"{\"k:{\\\"b\\\": 80.0, \\\"a\\\":\\\"<&>\\\"}\":{}}",
         "{\"k:{\\\"a\\\":\\\"\\\\u003c\\\\u0026\\\\u003e\\\",\\\"b\\\":80}\":{}}"},
        /* the same step twice */
        {"{\"v:1\":{},\"v:1.0\":{\"f:a\":{}}}", "{\"v:1\":{\".\":{},\"f:a\":{}}}"},
        /* kinds of the future are left out */
        {"{\"x:1\":{},\"f:a\":{}}", "{\"f:a\":{}}"},
        {"{\"x:1\":{}}", "{}"},
        {"{\"a\":{}}", "!key must be 2 characters long: \"a\""},
        {"{\"ab\":{}}", "!missing colon: ab"},
        {"{\"f:a\":1}", "!managedFields parsing: expect { or n"},
        {"{\"i:x\":{}}", "!strconv.Atoi: parsing \"x\": invalid syntax"},
        {"{\"k:1\":{}}", "!managedFields parsing: expect { or n, but found 1"},
        {"{\"v:\":{}}", "!managedFields parsing: line 1, column 1: unexpected end"},
        {"[]", "!managedFields parsing: expect { or n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a = ARENA_INIT;
        struct fields_pool pool = {&a, false};
        struct err e = ERR_INIT(&a);
        struct fieldset s;
        const char *want = rows[i].out ? rows[i].out : rows[i].in;
        if (fieldset_parse(&pool, parse(&a, rows[i].in), &s, &e) != 0) {
            struct str got = arena_fmt(&a, "!%.*s", STR_ARG(e.message));
            if (!str_has_prefix(got, str_z(want)))
                fail_msg("%s: \"%s\"", rows[i].in, got.p);
        } else {
            assert_str(text_of(&pool, &s), want);
        }
        arena_fini(&a);
    }
}

static int join(void *arg, struct str path)
{
    struct buf *b = arg;
    if (b->n)
        buf_c(b, ' ');
    buf_str(b, path);
    return 0;
}

static void paths(void **state)
{
    struct arena a = ARENA_INIT;
    struct fields_pool pool = {&a, false};
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    struct fieldset s = fieldset_of(
        &pool, "{\"f:spec\":{\"f:replicas\":{},\"f:ports\":{\"k:{\\\"port\\\":80,\\\"name\\\":"
               "\\\"a\\\\\\\"b\\\"}\":{\".\":{},\"f:x\":{}}},\"f:list\":{\"v:true\":{},"
               "\"v:\\\"x\\\"\":{}},\"f:atoms\":{\"i:3\":{}}},\"f:status\":{}}");
    fieldset_each(&s, join, &b);
    assert_str(buf_view(&b), ".status .spec.replicas .spec.atoms[3] .spec.list[=\"x\"] "
                             ".spec.list[=true] .spec.ports[name=\"a\\\"b\",port=80] "
                             ".spec.ports[name=\"a\\\"b\",port=80].x");
    assert_int_equal(fieldset_size(&s), 7);
    const struct field_node *spec =
        fieldset_find(&s, &(struct step){.kind = STEP_FIELD, .name = STR("spec")});
    assert_non_null(spec);
    assert_false(spec->member);
    assert_null(fieldset_find(&s, &(struct step){.kind = STEP_FIELD, .name = STR("x")}));
    arena_fini(&a);
}

typedef struct fieldset set_op(struct fields_pool *pool, const struct fieldset *a,
                               const struct fieldset *b);

static void algebra(void **state)
{
    static const struct {
        set_op *op;
        const char *a, *b, *want;
    } rows[] = {
        {fieldset_union, "{\"f:a\":{}}", "{\"f:a\":{\"f:b\":{}}}",
         "{\"f:a\":{\".\":{},\"f:b\":{}}}"},
        {fieldset_union, "{}", "{\"f:a\":{}}", "{\"f:a\":{}}"},
        {fieldset_union, "{\"f:b\":{}}", "{\"f:a\":{},\"f:c\":{}}",
         "{\"f:a\":{},\"f:b\":{},\"f:c\":{}}"},
        {fieldset_minus, "{\"f:a\":{\".\":{},\"f:b\":{}}}", "{\"f:a\":{}}",
         "{\"f:a\":{\"f:b\":{}}}"},
        {fieldset_minus, "{\"f:a\":{\".\":{},\"f:b\":{}}}", "{\"f:a\":{\"f:b\":{}}}",
         "{\"f:a\":{}}"},
        {fieldset_minus, "{\"f:a\":{\"f:b\":{}},\"f:c\":{}}", "{\"f:a\":{\"f:b\":{}}}",
         "{\"f:c\":{}}"},
        {fieldset_minus_below, "{\"f:a\":{\".\":{},\"f:b\":{}},\"f:c\":{}}", "{\"f:a\":{}}",
         "{\"f:c\":{}}"},
        {fieldset_minus_below, "{\"f:a\":{\"f:b\":{\"f:x\":{}},\"f:c\":{}}}",
         "{\"f:a\":{\"f:b\":{}}}", "{\"f:a\":{\"f:c\":{}}}"},
        {fieldset_minus_below, "{\"f:a\":{}}", "{\"f:a\":{\"f:b\":{}}}", "{\"f:a\":{}}"},
        {fieldset_intersect, "{\"f:a\":{\".\":{},\"f:b\":{}}}", "{\"f:a\":{}}", "{\"f:a\":{}}"},
        {fieldset_intersect, "{\"f:a\":{\"f:b\":{}}}", "{\"f:a\":{}}", "{}"},
        {fieldset_intersect, "{\"k:{\\\"n\\\":1}\":{}}", "{\"k:{\\\"n\\\":1.0}\":{}}",
         "{\"k:{\\\"n\\\":1}\":{}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a = ARENA_INIT;
        struct fields_pool pool = {&a, false};
        struct fieldset x = fieldset_of(&pool, rows[i].a), y = fieldset_of(&pool, rows[i].b);
        struct fieldset got = rows[i].op(&pool, &x, &y);
        assert_str(text_of(&pool, &got), rows[i].want);
        arena_fini(&a);
    }
}

static void leaves_and_patterns(void **state)
{
    struct arena a = ARENA_INIT;
    struct fields_pool pool = {&a, false};
    struct fieldset s = fieldset_of(
        &pool, "{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:a\":{}}},\"f:spec\":{\".\":{},"
               "\"f:containers\":{\"k:{\\\"name\\\":\\\"x\\\"}\":{\".\":{},\"f:image\":{},"
               "\"f:resources\":{\"f:limits\":{}}}},\"f:nodeName\":{}}}");
    struct fieldset leaves = fieldset_leaves(&pool, &s);
    assert_str(text_of(&pool, &leaves),
               "{\"f:metadata\":{\"f:labels\":{\"f:a\":{}}},\"f:spec\":{\"f:containers\":{"
               "\"k:{\\\"name\\\":\\\"x\\\"}\":{\"f:image\":{},\"f:resources\":{\"f:limits\":{}}"
               "}},\"f:nodeName\":{}}}");
    /* spec.containers[any].resources, as the pod's subresource resize */
    const struct field_node resources = {{STEP_FIELD, .name = STR("resources")}, true, NULL};
    const struct fieldset below_any = {&resources, 1};
    const struct field_node any = {{STEP_ANY}, false, &below_any};
    const struct fieldset below_containers = {&any, 1};
    const struct field_node containers = {
        {STEP_FIELD, .name = STR("containers")}, false, &below_containers};
    const struct fieldset below_spec = {&containers, 1};
    const struct field_node spec = {{STEP_FIELD, .name = STR("spec")}, false, &below_spec};
    const struct fieldset pattern = {&spec, 1};
    struct fieldset fit = fieldset_filter(&pool, &s, &pattern);
    assert_str(text_of(&pool, &fit),
               "{\"f:spec\":{\".\":{},\"f:containers\":{\"k:{\\\"name\\\":\\\"x\\\"}\":{\".\":{},"
               "\"f:resources\":{\"f:limits\":{}}}}}}");
    arena_fini(&a);
}

/* ---- laws ---- */

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static struct step random_step(struct arena *a, uint64_t *seed)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct json *v;
    switch (next_random(seed) % 5) {
    case 0: return (struct step){.kind = STEP_INDEX, .index = next_random(seed) % 4};
    case 1: return (struct step){.kind = STEP_VALUE, .value = json_int(a, next_random(seed) % 4)};
    case 2:
        v = json_object(a);
        json_set(a, v, STR("name"), json_string(a, str_z(names[next_random(seed) % 4])));
        return (struct step){.kind = STEP_KEY, .value = v};
    default: return (struct step){.kind = STEP_FIELD, .name = str_z(names[next_random(seed) % 4])};
    }
}

static const struct fieldset *random_level(struct fields_pool *pool, uint64_t *seed, int depth)
{
    struct fieldset_level l = {.pool = pool};
    for (uint32_t n = next_random(seed) % 6; n > 0; n--) {
        struct step step = random_step(pool->arena, seed);
        const struct fieldset *below = depth ? random_level(pool, seed, depth - 1) : NULL;
        fieldset_add(&l, step, next_random(seed) % 2, below);
    }
    return fieldset_done(&l);
}

static struct fieldset random_set(struct fields_pool *pool, uint64_t *seed)
{
    const struct fieldset *s = random_level(pool, seed, 3);
    return s ? *s : (struct fieldset){NULL, 0};
}

static void check_eq(struct fieldset a, struct fieldset b)
{
    assert_true(fieldset_eq(&a, &b));
}

static void check_canonical(struct fields_pool *pool, struct fieldset s)
{
    struct err e = ERR_INIT(pool->arena);
    struct fieldset again;
    struct str text = text_of(pool, &s);
    struct json *v;
    assert_int_equal(json_parse(pool->arena, text, &v, &e), 0);
    assert_int_equal(fieldset_parse(pool, v, &again, &e), 0);
    check_eq(s, again);
    struct str second = text_of(pool, &again);
    assert_true(str_eq(text, second));
}

static void laws(void **state)
{
    uint64_t seed = 3;
    for (int round = 0; round < 3000; round++) {
        struct arena a = ARENA_INIT;
        struct fields_pool pool = {&a, false}, *p = &pool;
        struct fieldset x = random_set(p, &seed), y = random_set(p, &seed);
        struct fieldset z = random_set(p, &seed), none = {NULL, 0};
        struct fieldset xy = fieldset_union(p, &x, &y), both = fieldset_intersect(p, &x, &y);
        struct fieldset x_y = fieldset_minus(p, &x, &y), y_x = fieldset_minus(p, &y, &x);
        struct fieldset yz = fieldset_union(p, &y, &z);
        check_canonical(p, x);
        check_canonical(p, xy);
        check_canonical(p, x_y);
        check_eq(fieldset_union(p, &x, &x), x);
        check_eq(xy, fieldset_union(p, &y, &x));
        check_eq(fieldset_union(p, &xy, &z), fieldset_union(p, &x, &yz));
        check_eq(both, fieldset_intersect(p, &y, &x));
        check_eq(fieldset_intersect(p, &x, &x), x);
        check_eq(fieldset_intersect(p, &x, &xy), x);
        check_eq(fieldset_minus(p, &x, &x), none);
        check_eq(fieldset_minus(p, &x, &none), x);
        check_eq(fieldset_union(p, &x_y, &both), x);
        check_eq(fieldset_intersect(p, &x_y, &y), none);
        check_eq(fieldset_minus(p, &xy, &y), x_y);
        assert_int_equal(fieldset_size(&xy),
                         fieldset_size(&x_y) + fieldset_size(&y_x) + fieldset_size(&both));
        struct fieldset below = fieldset_minus_below(p, &x, &y);
        check_eq(fieldset_minus(p, &below, &x_y), none);
        check_eq(fieldset_minus_below(p, &below, &y), below);
        struct fieldset leaves = fieldset_leaves(p, &x);
        check_eq(fieldset_leaves(p, &leaves), leaves);
        check_eq(fieldset_minus(p, &leaves, &x), none);
        arena_fini(&a);
    }
}

static void full_arena(void **state)
{
    struct arena a = ARENA_INIT, small;
    struct fields_pool pool = {&a, false};
    uint64_t seed = 5;
    struct fieldset x = random_set(&pool, &seed), y = random_set(&pool, &seed);
    while (fieldset_size(&x) < 100) {
        struct fieldset more = random_set(&pool, &seed);
        x = fieldset_union(&pool, &x, &more);
    }
    struct json *json = fieldset_json(&pool, &x);
    for (size_t cap = 100; cap < 8000; cap += 100) {
        arena_init(&small, cap);
        struct fields_pool little = {&small, false};
        struct err e = ERR_INIT(&a);
        struct fieldset again;
        fieldset_union(&little, &x, &y);
        fieldset_minus(&little, &x, &y);
        fieldset_json(&little, &x);
        int rc = fieldset_parse(&little, json, &again, &e);
        if (rc == 0 && !little.full)
            assert_true(fieldset_eq(&again, &x));
        arena_fini(&small);
    }
    arena_fini(&a);
}

TESTS(cmocka_unit_test(json_form), cmocka_unit_test(paths), cmocka_unit_test(algebra),
      cmocka_unit_test(leaves_and_patterns), cmocka_unit_test(laws), cmocka_unit_test(full_arena))
