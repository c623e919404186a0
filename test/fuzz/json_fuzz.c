/* SPDX-License-Identifier: Apache-2.0 */
/* json_fuzz.c: skipping and parsing agree; what is written reads back as equal, twice the same
 * text. */
#include "codec/json.h"

#include "fuzz.h"

static void check_number(struct str text)
{
    int64_t i;
    double d;
    bool exact = json_number_i64(text, &i), finite = json_number_double(text, &d);
    must(json_number_eq(text, text));
    must(!exact || (finite && d == (double)i));
}

static void check_numbers(const struct json *v)
{
    if (v->type == JSON_NUMBER)
        check_number(v->number);
    for (size_t i = 0; v->type == JSON_ARRAY && i < v->array.n; i++)
        check_numbers(v->array.v[i]);
    for (size_t i = 0; v->type == JSON_OBJECT && i < v->object.n; i++)
        check_numbers(v->object.v[i].value);
}

static void check_tree(struct arena *a, struct json *v)
{
    struct err e = ERR_INIT(a);
    struct json *again;
    struct str text = json_text(a, v);
    must(str_is_utf8(text));
    must(json_parse(a, text, &again, &e) == 0);
    must(json_eq(v, again) && str_eq(text, json_text(a, again)));
    CLEANUP(buf_fini) struct buf pretty = BUF_INIT(BUF_CAP_DEFAULT);
    json_write_pretty(&pretty, v, 2);
    must(json_parse(a, buf_view(&pretty), &again, &e) == 0);
    must(str_eq(text, json_text(a, again)));
    json_sort(again);
    must(json_eq(v, again) && json_eq(json_copy(a, again), v));
    check_numbers(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_n((const char *)data, size);
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json *v;
    struct json_in in;
    json_in_init(&in, text, NULL);
    bool skipped = json_skip(&in, NULL) && json_end(&in);
    bool parsed = json_parse(&a, text, &v, &e) == 0;
    must(skipped == parsed);
    if (parsed)
        check_tree(&a, v);
    arena_fini(&a);
    return 0;
}
