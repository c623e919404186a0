/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_fuzz.c: what YAML says can be said in JSON; what is written as YAML reads back as equal. */
#include "codec/yaml.h"

#include "fuzz.h"

/* Numbers that no double holds: YAML has them as strings. */
static bool has_huge_number(const struct json *v)
{
    double d;
    bool found = v->type == JSON_NUMBER && !json_number_double(v->number, &d);
    for (size_t i = 0; v->type == JSON_ARRAY && i < v->array.n && !found; i++)
        found = has_huge_number(v->array.v[i]);
    for (size_t i = 0; v->type == JSON_OBJECT && i < v->object.n && !found; i++)
        found = has_huge_number(v->object.v[i].value);
    return found;
}

static void check_written(struct arena *a, const struct json *v)
{
    struct err e = ERR_INIT(a);
    struct json *again;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    yaml_write(&b, v);
    must(!b.failed);
    must(yaml_parse(a, buf_view(&b), &again, &e) == 0);
    must(has_huge_number(v) || json_eq(v, again));
}

/* The text itself as a key and at several depths. */
static void check_string(struct arena *a, struct str text)
{
    struct json *v = json_object(a), *list = json_array(a), *inner = json_array(a);
    json_set(a, v, STR("a"), json_string(a, text));
    json_set(a, v, text, list);
    json_push(a, list, json_string(a, text));
    json_push(a, list, inner);
    json_push(a, inner, json_string(a, text));
    json_push(a, inner, json_null(a));
    check_written(a, v);
    check_written(a, list->array.v[0]);
}

static void check_document(struct arena *a, struct json *v)
{
    struct err e = ERR_INIT(a);
    struct json *again;
    struct str text = json_text(a, v);
    must(json_parse(a, text, &again, &e) == 0);
    must(json_eq(v, again));
    check_written(a, v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_n((const char *)data, size);
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json **v, *first;
    size_t n;
    bool all = yaml_parse_all(&a, STR("input"), text, &v, &n, &e) == 0;
    bool one = yaml_parse(&a, text, &first, &e) == 0;
    must(one || !all);
    for (size_t i = 0; all && i < n; i++)
        check_document(&a, v[i]);
    if (str_is_utf8(text))
        check_string(&a, text);
    arena_fini(&a);
    return 0;
}
