/* SPDX-License-Identifier: Apache-2.0 */
/* codec.c: megabytes per second of the codecs on one pod of 2 KB. Run: build/bench/bench-codec */
#include <time.h>

#include "codec/base64.h"
#include "codec/gzip.h"
#include "codec/json.h"
#include "codec/pb.h"
#include "codec/yaml.h"

enum { RUN_MS = 500 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct input {
    struct str json, pretty, pb, yaml, base64, gzip;
    struct json *tree;
};

/* Each returns the bytes that it went through. */

static size_t skip(const struct input *i)
{
    struct json_in in;
    json_in_init(&in, i->json, NULL);
    must(json_skip(&in, NULL) && json_end(&in));
    return i->json.n;
}

static size_t skip_pretty(const struct input *i)
{
    struct json_in in;
    json_in_init(&in, i->pretty, NULL);
    must(json_skip(&in, NULL) && json_end(&in));
    return i->pretty.n;
}

static size_t read_value(struct json_in *in)
{
    struct str s;
    bool b;
    size_t count = 1;
    switch (json_peek(in)) {
    case JSON_OBJECT:
        for (json_enter_object(in); json_next_key(in, &s);)
            count += read_value(in);
        break;
    case JSON_ARRAY:
        for (json_enter_array(in); json_next_item(in);)
            count += read_value(in);
        break;
    case JSON_STRING: json_read_string(in, &s); break;
    case JSON_NUMBER: json_read_number(in, &s); break;
    case JSON_BOOL: json_read_bool(in, &b); break;
    case JSON_NULL: json_read_null(in); break;
    case JSON_BAD: break;
    }
    return count;
}

static struct arena scratch = ARENA_INIT;

static size_t read_all(const struct input *i)
{
    struct json_in in;
    arena_reset(&scratch);
    json_in_init(&in, i->json, &scratch);
    read_value(&in);
    must(json_end(&in));
    return i->json.n;
}

static size_t parse(const struct input *i)
{
    struct json *v;
    struct err e = ERR_INIT(&scratch);
    arena_reset(&scratch);
    must(json_parse(&scratch, i->json, &v, &e) == 0);
    return i->json.n;
}

static size_t write_tree(const struct input *i)
{
    static struct buf b = BUF_INIT(MIB(1));
    buf_clear(&b);
    json_write(&b, i->tree);
    return b.n;
}

/* The tree as protobuf of the same shape, every key a field of its own. */
static void put_pb(struct pb_out *o, const struct json *v, uint32_t field)
{
    size_t mark = pb_out_len(o), n = v->type == JSON_OBJECT ? v->object.n : 0;
    switch (v->type) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        for (size_t i = n; i-- > 0;)
            put_pb(o, v->object.v[i].value, (uint32_t)i + 1);
        for (size_t i = n ? 0 : v->array.n; i-- > 0;)
            put_pb(o, v->array.v[i], 1);
        pb_put_message_header(o, field, mark);
        return;
    case JSON_STRING: pb_put_bytes_field(o, field, v->string); return;
    case JSON_NUMBER:
    case JSON_BOOL:
    case JSON_NULL:
    case JSON_BAD:
        pb_put_varint(o, v->type == JSON_NUMBER ? 8080 : 1);
        pb_put_tag(o, field, PB_VARINT);
        return;
    }
}

static size_t pb_write(const struct input *i)
{
    static struct pb_out o = {.cap = MIB(1)};
    pb_out_clear(&o);
    put_pb(&o, i->tree, 1);
    return pb_out_len(&o);
}

static size_t walk_pb(struct pb_in in, const struct json *v)
{
    uint32_t field;
    enum pb_wire wire;
    size_t count = 0;
    for (size_t i = 0; pb_next(&in, &field, &wire); i++) {
        const struct json *child = v->type == JSON_OBJECT  ? v->object.v[field - 1].value
                                   : v->type == JSON_ARRAY ? v->array.v[i]
                                                           : v;
        if (wire == PB_VARINT)
            count += pb_read_varint(&in);
        else if (child->type == JSON_STRING)
            count += pb_read_bytes(&in).n;
        else
            count += walk_pb(pb_in(pb_read_bytes(&in)), child);
    }
    must(!in.failed);
    return count;
}

static size_t pb_read(const struct input *i)
{
    struct json *root[] = {i->tree};
    struct json top = {.type = JSON_ARRAY, .array = {.v = root, .n = 1}};
    must(walk_pb(pb_in(i->pb), &top) > 0);
    return i->pb.n;
}

static size_t yaml_read(const struct input *i)
{
    struct json *v;
    struct err e = ERR_INIT(&scratch);
    arena_reset(&scratch);
    must(yaml_parse(&scratch, i->yaml, &v, &e) == 0);
    return i->yaml.n;
}

static size_t yaml_write_tree(const struct input *i)
{
    static struct buf b = BUF_INIT(MIB(1));
    buf_clear(&b);
    yaml_write(&b, i->tree);
    return b.n;
}

static size_t base64_read(const struct input *i)
{
    struct str s;
    arena_reset(&scratch);
    must(base64_decode(&scratch, i->base64, &s));
    return i->base64.n;
}

static size_t gzip_write(const struct input *i)
{
    static struct buf b = BUF_INIT(MIB(1));
    buf_clear(&b);
    gzip_compress(&b, i->json, 4);
    return i->json.n;
}

static size_t gzip_read(const struct input *i)
{
    static struct buf b = BUF_INIT(MIB(1));
    buf_clear(&b);
    must(gzip_decompress(&b, i->gzip));
    return b.n;
}

static void measure(const char *name, size_t (*run)(const struct input *), const struct input *in)
{
    size_t bytes = 0, rounds = 0;
    double start = now_s(), spent;
    do {
        for (int i = 0; i < 100; i++, rounds++)
            bytes += run(in);
        spent = now_s() - start;
    } while (spent * 1000 < RUN_MS);
    printf("%-12s %8.0f MB/s  %6.2f us\n", name, (double)bytes / spent / 1e6,
           spent * 1e6 / (double)rounds);
}

static void make_inputs(struct input *in, struct arena *a)
{
    static char text[KIB(16)];
    FILE *f = fopen(BENCH_DATA "/pod.json", "rb");
    must(f != NULL);
    in->json = str_n(text, fread(text, 1, sizeof text, f));
    fclose(f);
    struct err e = ERR_INIT(a);
    must(json_parse(a, in->json, &in->tree, &e) == 0);
    struct buf b = BUF_INIT(MIB(1));
    json_write_pretty(&b, in->tree, 4);
    in->pretty = buf_to_arena(&b, a);
    buf_clear(&b);
    yaml_write(&b, in->tree);
    in->yaml = buf_to_arena(&b, a);
    buf_clear(&b);
    base64_encode(&b, in->json);
    in->base64 = buf_to_arena(&b, a);
    buf_clear(&b);
    gzip_compress(&b, in->json, 4);
    in->gzip = buf_to_arena(&b, a);
    buf_fini(&b);
    struct pb_out o = {.cap = MIB(1)};
    put_pb(&o, in->tree, 1);
    in->pb = arena_str(a, pb_out_view(&o));
    pb_out_fini(&o);
}

int main(void)
{
    struct arena a = ARENA_INIT;
    struct input in;
    make_inputs(&in, &a);
    printf("JSON %zu bytes, indented %zu, YAML %zu, protobuf %zu\n", in.json.n, in.pretty.n,
           in.yaml.n, in.pb.n);

    measure("skip", skip, &in);
    measure("skip pretty", skip_pretty, &in);
    measure("read", read_all, &in);
    measure("parse", parse, &in);
    measure("write", write_tree, &in);
    measure("pb read", pb_read, &in);
    measure("pb write", pb_write, &in);
    measure("yaml read", yaml_read, &in);
    measure("yaml write", yaml_write_tree, &in);
    measure("base64 read", base64_read, &in);
    measure("gzip write", gzip_write, &in);
    measure("gzip read", gzip_read, &in);

    arena_fini(&a);
    arena_fini(&scratch);
    return 0;
}
