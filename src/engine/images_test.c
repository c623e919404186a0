/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/files.h"
#include "engine/images.h"
#include "engine/layers.h"

struct world {
    struct arena arena;
    struct err err;
    char root[64];
    struct image_store *store;
};

static const char *in_root(struct world *w, const char *name)
{
    return arena_fmt(&w->arena, "%s/%s", w->root, name).p;
}

static void put(struct world *w, const char *path, struct str text)
{
    const char *full = in_root(w, path);
    char *slash = strrchr(full, '/');
    assert_int_equal(
        dir_make(arena_fmt(&w->arena, "%.*s", (int)(slash - full), full).p, 0755, &w->err), 0);
    assert_int_equal(file_write(AT_FDCWD, full, text, 0755, FILE_FAST, &w->err), 0);
}

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    w->arena = ARENA_INIT;
    w->err = ERR_INIT(&w->arena);
    snprintf(w->root, sizeof w->root, "/tmp/images-test-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    put(w, "rootfs/bin/app", STR("#!/bin/sh\n"));
    put(w, "rootfs/etc/passwd", STR("root:x:0:0::/:/bin/sh\n"));
    put(w, "rootfs/caf\xc3\xa9", STR("utf-8"));
    assert_int_equal(link(in_root(w, "rootfs/bin/app"), in_root(w, "rootfs/bin/hard")), 0);
    assert_int_equal(symlink("app", in_root(w, "rootfs/bin/soft")), 0);
    assert_int_equal(chmod(in_root(w, "rootfs/bin/app"), 04755), 0);
    assert_int_equal(image_store_open(in_root(w, "engine"), &w->store, &w->err), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    image_store_close(w->store);
    assert_int_equal(tree_remove(AT_FDCWD, w->root, &w->err), 0);
    arena_fini(&w->arena);
    free(w);
    return 0;
}

static struct image import(struct world *w, const char *name, const char *path)
{
    struct image image;
    err_clear(&w->err);
    if (image_import(w->store, &w->arena, str_z(name), in_root(w, path), &image, &w->err) < 0)
        fail_msg("%.*s", STR_ARG(w->err.message));
    return image;
}

static struct str blob(struct world *w, struct str digest)
{
    struct str text;
    assert_int_equal(
        content_read(image_store_content(w->store), &w->arena, digest, MIB(64), &text, &w->err), 0);
    return text;
}

static void assert_unpacked(struct world *w, const struct image *image)
{
    struct stat app, hard;
    struct str fs =
        layers_path(&w->arena, image_store_content(w->store), image->layers.v[image->layers.n - 1]);
    assert_int_equal(lstat(arena_fmt(&w->arena, "%s/bin/app", fs.p).p, &app), 0);
    assert_int_equal(lstat(arena_fmt(&w->arena, "%s/bin/hard", fs.p).p, &hard), 0);
    assert_int_equal(app.st_mode, S_IFREG | 04755);
    assert_int_equal(app.st_ino, hard.st_ino);
    assert_int_equal(access(arena_fmt(&w->arena, "%s/caf\xc3\xa9", fs.p).p, F_OK), 0);
}

static void test_rootfs(void **state)
{
    struct world *w = *state;
    struct image image = import(w, "app:1", "rootfs"), found;
    assert_unpacked(w, &image);
    assert_int_equal(image.tags.n, 1);
    assert_str(image.tags.v[0], "docker.io/library/app:1");

    /* the same folder is the same image, under a second name */
    struct image again = import(w, "localhost/other:2", "rootfs");
    assert_true(str_eq(again.id, image.id) && str_eq(again.manifest, image.manifest));
    assert_int_equal(again.tags.n, 2);

    struct oci_config config;
    assert_int_equal(image_find(w->store, &w->arena, STR("app:1"), &found, &w->err), 0);
    assert_int_equal(image_config(w->store, &w->arena, &found, &config, &w->err), 0);
    assert_str(config.cmd.v[0], "/bin/sh");
    assert_true(str_has_prefix(config.env.v[0], STR("PATH=/usr/local/sbin:")));
    assert_int_equal(image_find(w->store, &w->arena, image.id, &found, &w->err), 0);
    assert_int_equal(image_find(w->store, &w->arena, str_sub(image.id, 7, 19), &found, &w->err), 0);
    assert_int_equal(image_find(w->store, &w->arena, STR("app:2"), &found, &w->err),
                     -ERR_NOT_FOUND);
    assert_str(w->err.message, "image \"app:2\" not found");
}

static void test_names_move(void **state)
{
    struct world *w = *state;
    struct image first = import(w, "app:1", "rootfs"), found;
    put(w, "rootfs/new", STR("1"));
    struct image second = import(w, "app:1", "rootfs");
    assert_false(str_eq(first.id, second.id));
    assert_int_equal(image_find(w->store, &w->arena, STR("app:1"), &found, &w->err), 0);
    assert_true(str_eq(found.id, second.id));
    assert_int_equal(image_find(w->store, &w->arena, first.id, &found, &w->err), 0);
    assert_int_equal(found.tags.n, 0);
}

/* A second store on the same folder stands for another process. */
static void test_shared_and_swept(void **state)
{
    struct world *w = *state;
    struct image_store *other;
    struct image *list, image = import(w, "app:1", "rootfs");
    size_t n;
    assert_int_equal(image_store_open(in_root(w, "engine"), &other, &w->err), 0);
    assert_int_equal(image_list(other, &w->arena, &list, &n, &w->err), 0);
    assert_int_equal(n, 1);

    /* a container stands on the layer: it stays when the image goes */
    put(w, "engine/run/containers/c1/layers", image.layers.v[0]);
    assert_int_equal(image_remove(other, STR("app:1"), &w->err), 0);
    assert_int_equal(image_list(w->store, &w->arena, &list, &n, &w->err), 0);
    assert_int_equal(n, 0);
    const struct content *c = image_store_content(w->store);
    uint64_t size;
    assert_true(layers_have(c, image.layers.v[0]));
    assert_int_equal(content_stat(c, image.manifest, &size), -ERR_NOT_FOUND);
    assert_int_equal(image_remove(other, STR("app:1"), &w->err), -ERR_NOT_FOUND);

    assert_int_equal(tree_remove(AT_FDCWD, in_root(w, "engine/run/containers/c1"), &w->err), 0);
    int busy = image_busy_begin(other, &w->err);
    assert_int_equal(image_sweep(w->store, &w->err), 0);
    assert_true(layers_have(c, image.layers.v[0]));
    image_busy_end(other, busy);
    assert_int_equal(image_sweep(w->store, &w->err), 0);
    assert_false(layers_have(c, image.layers.v[0]));
    image_store_close(other);
}

/* Writes the image as an OCI layout under layout/, and as docker-archive under docker/. */
static void write_archives(struct world *w, const struct image *image)
{
    struct oci_manifest m;
    struct str manifest = blob(w, image->manifest);
    assert_int_equal(oci_manifest_parse(&w->arena, manifest, &m, &w->err), 0);
    struct str digests[] = {image->manifest, m.config.digest, m.layers[0].digest};
    for (size_t i = 0; i < 3; i++)
        put(w, arena_fmt(&w->arena, "layout/blobs/sha256/%.*s", STR_ARG(digest_hex(digests[i]))).p,
            blob(w, digests[i]));
    put(w, "layout/oci-layout", STR("{\"imageLayoutVersion\":\"1.0.0\"}"));
    put(w, "layout/index.json",
        arena_fmt(&w->arena,
                  "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"%s\","
                  "\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}}]}",
                  OCI_MANIFEST_TYPE, image->manifest.p, manifest.n,
                  oci_platform_host().architecture.p));
    put(w, "docker/conf.json", blob(w, m.config.digest));
    put(w, "docker/l/layer.tar", blob(w, m.layers[0].digest));
    assert_int_equal(symlink("l/layer.tar", in_root(w, "docker/same.tar")), 0);
    put(w, "docker/manifest.json",
        STR("[{\"Config\":\"nope\",\"RepoTags\":[\"x:y\"],\"Layers\":[]},"
            "{\"Config\":\"conf.json\",\"RepoTags\":[\"app:1\"],\"Layers\":[\"same.tar\"]}]"));
}

/* tar of a folder with the system's tar: what people will bring */
static void tar(struct world *w, const char *folder, const char *name)
{
    struct str cmd =
        arena_fmt(&w->arena, "tar -C %s -caf %s .", in_root(w, folder), in_root(w, name));
    assert_int_equal(system(cmd.p), 0);
}

static void test_archives(void **state)
{
    struct world *w = *state;
    struct image image = import(w, "app:1", "rootfs");
    write_archives(w, &image);
    tar(w, "layout", "layout.tar");
    tar(w, "docker", "docker.tar.gz");
    tar(w, "rootfs", "rootfs.tar.gz");
    static const char *const sources[] = {"layout", "docker", "layout.tar", "docker.tar.gz"};
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        assert_int_equal(image_remove(w->store, STR("app:1"), &w->err), 0);
        struct image again = import(w, "app:1", sources[i]);
        assert_true(str_eq(again.id, image.id));
        assert_unpacked(w, &again);
    }
    struct image plain = import(w, "plain:1", "rootfs.tar.gz");
    assert_unpacked(w, &plain);
}

static void test_bad_archives(void **state)
{
    struct world *w = *state;
    struct image image = import(w, "app:1", "rootfs"), bad;
    write_archives(w, &image);
    static const char *const indexes[] = {
        "",
        "[]",
        "{}",
        "{\"manifests\":1}",
        "{\"manifests\":[{}]}",
        "{\"manifests\":[]}",
        "{\"manifests\":[{\"digest\":\"sha256:../../../../etc/passwd\",\"size\":1}]}",
        "{\"manifests\":[{\"digest\":\"sha256:"
        "0000000000000000000000000000000000000000000000000000000000000000\",\"size\":1}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(indexes); i++) {
        put(w, "layout/index.json", str_z(indexes[i]));
        err_clear(&w->err);
        assert_true(image_import(w->store, &w->arena, STR("bad:1"), in_root(w, "layout"), &bad,
                                 &w->err) < 0);
        assert_int_not_equal(w->err.code, ERR_NONE);
    }
    /* a blob that is not what its name says */
    struct oci_manifest m;
    assert_int_equal(oci_manifest_parse(&w->arena, blob(w, image.manifest), &m, &w->err), 0);
    assert_int_equal(image_remove(w->store, STR("app:1"), &w->err), 0);
    put(w, "docker/conf.json", STR("{\"rootfs\":{\"diff_ids\":[]}}"));
    assert_int_equal(
        image_import(w->store, &w->arena, STR("app:1"), in_root(w, "docker"), &bad, &w->err),
        -ERR_INVALID);
    put(w, "docker/manifest.json", STR("[{\"Config\":\"../rootfs/etc/passwd\",\"Layers\":[]}]"));
    assert_true(
        image_import(w->store, &w->arena, STR("app:1"), in_root(w, "docker"), &bad, &w->err) < 0);
    assert_int_equal(
        image_import(w->store, &w->arena, STR("app:1"), in_root(w, "nothing"), &bad, &w->err),
        -ERR_NOT_FOUND);
}

static void test_platforms(void **state)
{
    struct oci_index_entry v[] = {
        {.platform = {STR("linux"), STR("arm"), STR("v6")}},
        {.platform = {STR("linux"), STR("arm"), STR("v7")}},
        {.platform = {STR("windows"), STR("amd64"), STR("")}},
        {.platform = {STR("linux"), STR("amd64"), STR("v3")}},
        {.platform = {STR("linux"), STR("amd64"), STR("")}},
        {.platform = {STR("unknown"), STR("unknown"), STR("")}},
    };
    struct oci_index index = {v, ARRAY_LEN(v)};
    assert_ptr_equal(
        oci_index_select(&index, &(struct oci_platform){STR("linux"), STR("arm"), STR("v7")}),
        &v[1]);
    assert_ptr_equal(
        oci_index_select(&index, &(struct oci_platform){STR("linux"), STR("amd64"), STR("")}),
        &v[4]);
    assert_null(
        oci_index_select(&index, &(struct oci_platform){STR("linux"), STR("s390x"), STR("")}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rootfs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_move, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared_and_swept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_archives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_archives, setup, teardown),
        cmocka_unit_test(test_platforms),
    };
    if (geteuid() != 0) {
        print_message("skipped: unpacking layers needs root\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
