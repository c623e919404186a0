/* SPDX-License-Identifier: Apache-2.0 */
/* Every object in test/data/roundtrip decodes and encodes to the same value in both forms. */
#include "base/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "api/metav1.h"
#include "api/registry.h"

static struct str slurp(struct arena *a, const char *path)
{
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        fail_msg("%s: cannot be read", path);
    char *p = arena_alloc(a, (size_t)st.st_size + 1);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    return str_n(p, (size_t)st.st_size);
}

/* The message inside "k8s\0" + Unknown{2 raw}. */
static struct str unwrap(struct str bytes)
{
    assert_true(str_has_prefix(bytes, str_n("k8s\0", 4)));
    struct pb_in in = pb_in(str_sub(bytes, 4, bytes.n));
    uint32_t number;
    enum pb_wire wire;
    while (pb_next(&in, &number, &wire)) {
        if (number == 2)
            return pb_read_bytes(&in);
        pb_skip(&in, wire);
    }
    fail_msg("no raw message");
    return STR_NULL;
}

static void check_json(struct arena *a, const char *file, const struct desc *d, const void *obj,
                       struct str text)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    struct err e = ERR_INIT(a);
    struct json *want, *got;
    desc_encode_json(d, obj, &b);
    assert_false(b.failed);
    if (json_parse(a, buf_view(&b), &got, &e) < 0)
        fail_msg("%s: %.*s", file, STR_ARG(e.message));
    assert_int_equal(json_parse(a, text, &want, &e), 0);
    if (!json_eq(want, got))
        fail_msg("%s: JSON differs:\n%.*s", file, STR_ARG(buf_view(&b)));
}

static void check_pb(struct arena *a, const char *file, const struct desc *d, const void *obj,
                     struct str want)
{
    CLEANUP(pb_out_fini) struct pb_out o;
    pb_out_init(&o, MIB(1));
    desc_encode_pb(d, obj, &o);
    assert_false(o.failed);
    struct str got = pb_out_view(&o);
    if (!str_eq(got, want)) {
        size_t at = 0;
        while (at < MIN(got.n, want.n) && got.p[at] == want.p[at])
            at++;
        fail_msg("%s: protobuf differs at byte %zu (%zu bytes, want %zu)", file, at, got.n, want.n);
    }
}

static const struct desc *desc_of(const struct json *tree)
{
    struct str group, version;
    /* The one object without kind and apiVersion. */
    if (!json_getz(tree, "kind"))
        return &metav1_watch_event_desc;
    assert_true(api_version_split(json_str(json_getz(tree, "apiVersion")), &group, &version));
    const struct kind_def *k = kind_find(group, version, json_str(json_getz(tree, "kind")));
    return k ? k->desc : NULL;
}

/* Returns whether the kind is one we have. */
static bool check_file(const char *dir, const char *name)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct str stem = str_z(name);
    assert_true(str_chop(&stem, STR(".json")));
    struct str text = slurp(&a, arena_fmt(&a, "%s/%s", dir, name).p);
    struct json *tree;
    assert_int_equal(json_parse(&a, text, &tree, &e), 0);
    const struct desc *d = desc_of(tree);
    if (!d)
        fail_msg("%s: no such kind in schema/", name);
    struct decode_notes notes = {.arena = &a};
    void *obj = arena_alloc(&a, d->size);
    if (desc_decode_json(d, text, &a, obj, &notes, &e) < 0)
        fail_msg("%s: %.*s", name, STR_ARG(e.message));
    if (notes.unknown.n)
        fail_msg("%s: unknown field %.*s", name, STR_ARG(notes.unknown.v[0]));
    check_json(&a, name, d, obj, text);

    struct str pb = unwrap(slurp(&a, arena_fmt(&a, "%s/%.*s.pb", dir, STR_ARG(stem)).p));
    check_pb(&a, name, d, obj, pb);
    void *again = arena_alloc(&a, d->size);
    if (desc_decode_pb(d, pb, &a, again, &e) < 0)
        fail_msg("%s: %.*s", name, STR_ARG(e.message));
    check_pb(&a, name, d, again, pb);
    void *copy = desc_copy(d, &a, obj);
    assert_true(desc_equal(d, obj, copy));
    check_json(&a, name, d, copy, text);
    arena_fini(&a);
    return true;
}

static void all_kinds(void **state)
{
    const char *dir = TEST_DATA "/roundtrip";
    DIR *d = opendir(dir);
    assert_non_null(d);
    size_t n = 0;
    for (struct dirent *f; (f = readdir(d));)
        if (str_has_suffix(str_z(f->d_name), STR(".json")))
            n += check_file(dir, f->d_name);
    closedir(d);
    assert_true(n > 80);
}

TESTS(cmocka_unit_test(all_kinds))
