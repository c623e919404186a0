/* SPDX-License-Identifier: Apache-2.0 */
/* fieldset_fuzz.c: two lines with sets as FieldsV1. What is read is written in canonical form, and
 * the laws of sets hold. */
#include "api/fieldset.h"

#include "fuzz.h"

static bool read_set(struct fields_pool *pool, struct str text, struct fieldset *ret)
{
    struct err e = ERR_INIT(pool->arena);
    struct json *v;
    return json_parse(pool->arena, text, &v, &e) == 0 && fieldset_parse(pool, v, ret, &e) == 0;
}

static int count_path(void *arg, struct str path)
{
    size_t *n = arg;
    must(path.n > 0);
    ++*n;
    return 0;
}

static void check(struct fields_pool *pool, const struct fieldset *s)
{
    struct fieldset again;
    struct str text = json_text(pool->arena, fieldset_json(pool, s));
    must(read_set(pool, text, &again));
    must(fieldset_eq(s, &again));
    must(str_eq(text, json_text(pool->arena, fieldset_json(pool, &again))));
    size_t n = 0;
    must(fieldset_each(s, count_path, &n) == 0 && n == fieldset_size(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str first, rest = str_n((const char *)data, size);
    struct arena a = ARENA_INIT;
    struct fields_pool pool = {&a, false};
    struct fieldset x, y = {NULL, 0};
    str_next(&rest, '\n', &first);
    if (read_set(&pool, first, &x)) {
        check(&pool, &x);
        if (rest.p && read_set(&pool, rest, &y)) {
            struct fieldset all = fieldset_union(&pool, &x, &y);
            struct fieldset both = fieldset_intersect(&pool, &x, &y);
            struct fieldset only = fieldset_minus(&pool, &x, &y);
            struct fieldset again = fieldset_union(&pool, &only, &both);
            check(&pool, &all);
            check(&pool, &only);
            must(fieldset_eq(&again, &x));
            again = fieldset_minus(&pool, &all, &y);
            must(fieldset_eq(&again, &only));
        }
    }
    must(!pool.full);
    arena_fini(&a);
    return 0;
}
