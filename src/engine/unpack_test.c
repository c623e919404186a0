/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "engine/files.h"
#include "engine/layers.h"
#include "engine/treewalk.h"
#include "engine/unpack.h"

/* One archive under construction and the folders it goes to. */
struct world {
    struct arena arena;
    struct err err;
    char root[64];
    struct archive *tar;
    char diff_id[DIGEST_TEXT_LEN + 1];
};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    w->arena = ARENA_INIT;
    w->err = ERR_INIT(&w->arena);
    snprintf(w->root, sizeof w->root, "/tmp/unpack-test-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    assert_int_equal(tree_remove(AT_FDCWD, w->root, &w->err), 0);
    arena_fini(&w->arena);
    free(w);
    return 0;
}

static const char *in_root(struct world *w, const char *name)
{
    return arena_fmt(&w->arena, "%s/%s", w->root, name).p;
}

static void begin(struct world *w, const char *name, int filter)
{
    setlocale(LC_CTYPE, "C.UTF-8"); /* the writer needs it; unpack_tar must not */
    w->tar = archive_write_new();
    archive_write_set_format_pax(w->tar);
    archive_write_add_filter(w->tar, filter);
    assert_int_equal(archive_write_open_filename(w->tar, in_root(w, name)), ARCHIVE_OK);
}

static void end(struct world *w)
{
    assert_int_equal(archive_write_close(w->tar), ARCHIVE_OK);
    archive_write_free(w->tar);
    setlocale(LC_CTYPE, "C");
}

static struct archive_entry *entry(const char *path, mode_t mode)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, path);
    archive_entry_set_mode(e, mode);
    archive_entry_set_mtime(e, 1000000000, 5000000);
    return e;
}

static void put(struct world *w, struct archive_entry *e, const char *data)
{
    size_t n = data ? strlen(data) : 0;
    archive_entry_set_size(e, (la_int64_t)n);
    assert_int_equal(archive_write_header(w->tar, e), ARCHIVE_OK);
    if (n)
        assert_int_equal(archive_write_data(w->tar, data, n), n);
    archive_entry_free(e);
}

static void put_file(struct world *w, const char *path, const char *data)
{
    put(w, entry(path, S_IFREG | 0644), data);
}

static void put_link(struct world *w, const char *path, const char *to)
{
    struct archive_entry *e = entry(path, S_IFLNK | 0777);
    archive_entry_set_symlink(e, to);
    put(w, e, NULL);
}

static void put_hardlink(struct world *w, const char *path, const char *to)
{
    struct archive_entry *e = entry(path, S_IFREG | 0644);
    archive_entry_set_hardlink(e, to);
    put(w, e, NULL);
}

/* Unpacks the archive `tar` to the new folder `name`, upon one layer or none. */
static int unpack(struct world *w, const char *tar, const char *name, const char *below)
{
    const char *path = in_root(w, name);
    mkdir(path, 0755);
    CLEANUP(close_fd) int blob = open(in_root(w, tar), O_RDONLY | O_CLOEXEC);
    CLEANUP(close_fd) int target = dir_open(AT_FDCWD, path);
    CLEANUP(close_fd) int lower = below ? dir_open(AT_FDCWD, in_root(w, below)) : -1;
    assert_true(blob >= 0 && target >= 0);
    struct unpack how = {UNPACK_LAYER, target, &lower, below ? 1 : 0};
    err_clear(&w->err);
    return unpack_tar(&how, blob, w->diff_id, &w->err);
}

static struct stat stat_of(struct world *w, const char *path)
{
    struct stat st;
    if (lstat(in_root(w, path), &st) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return st;
}

static bool absent(struct world *w, const char *path)
{
    struct stat st;
    return lstat(in_root(w, path), &st) < 0 && errno == ENOENT;
}

static bool opaque(struct world *w, const char *path)
{
    char v = 0;
    return lgetxattr(in_root(w, path), "trusted.overlay.opaque", &v, 1) == 1 && v == 'y';
}

static void assert_content(struct world *w, const char *path, const char *want)
{
    struct str s;
    assert_int_equal(file_read(&w->arena, AT_FDCWD, in_root(w, path), 1000, &s, &w->err), 0);
    assert_str(s, want);
}

static void test_kinds(void **state)
{
    struct world *w = *state;
    begin(w, "t", ARCHIVE_FILTER_GZIP);
    put(w, entry("./", S_IFDIR | 0751), NULL);
    put(w, entry("d/", S_IFDIR | 01777), NULL);
    struct archive_entry *e = entry("d/su", S_IFREG | 04755);
    archive_entry_set_uid(e, 12);
    archive_entry_set_gid(e, 34);
    archive_entry_xattr_add_entry(e, "user.color", "blue", 4);
    archive_entry_xattr_add_entry(e, "trusted.overlay.redirect", "/etc", 4);
    put(w, e, "hello");
    put_link(w, "d/ln", "../d/su");
    put_hardlink(w, "d/hard", "d/su");
    put(w, entry("fifo", S_IFIFO | 0600), NULL);
    e = entry("dev", S_IFCHR | 0666);
    archive_entry_set_rdev(e, makedev(1, 3));
    put(w, e, NULL);
    put_file(w, "n\xc3\xa4me", "utf-8");
    end(w);

    assert_int_equal(unpack(w, "t", "l", NULL), 0);
    assert_int_equal(stat_of(w, "l").st_mode, S_IFDIR | 0751);
    assert_int_equal(stat_of(w, "l/d").st_mode, S_IFDIR | 01777);
    assert_int_equal(stat_of(w, "l/d").st_mtim.tv_sec, 1000000000);
    struct stat st = stat_of(w, "l/d/su");
    assert_int_equal(st.st_mode, S_IFREG | 04755);
    assert_int_equal(st.st_uid, 12);
    assert_int_equal(st.st_gid, 34);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(st.st_mtim.tv_nsec, 5000000);
    assert_content(w, "l/d/hard", "hello");
    char v[8];
    assert_int_equal(lgetxattr(in_root(w, "l/d/su"), "user.color", v, sizeof v), 4);
    assert_int_equal(lgetxattr(in_root(w, "l/d/su"), "trusted.overlay.redirect", v, sizeof v), -1);
    assert_true(S_ISLNK(stat_of(w, "l/d/ln").st_mode));
    assert_true(S_ISFIFO(stat_of(w, "l/fifo").st_mode));
    assert_int_equal(stat_of(w, "l/dev").st_rdev, makedev(1, 3));
    assert_content(w, "l/n\xc3\xa4me", "utf-8");
}

/* The diff id is that of the plain tar, whatever compression; all compressions give the same. */
static void test_compressions(void **state)
{
    struct world *w = *state;
    static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD};
    char first[DIGEST_TEXT_LEN + 1];
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        char name[8];
        snprintf(name, sizeof name, "c%zu", i);
        begin(w, "t", filters[i]);
        put_file(w, "a", "a");
        put_file(w, "b/c", "c");
        end(w);
        assert_int_equal(unpack(w, "t", name, NULL), 0);
        if (i == 0)
            memcpy(first, w->diff_id, sizeof first);
        assert_string_equal(w->diff_id, first);
    }
    struct str plain;
    begin(w, "t", ARCHIVE_FILTER_NONE);
    put_file(w, "a", "a");
    put_file(w, "b/c", "c");
    end(w);
    assert_int_equal(file_read(&w->arena, AT_FDCWD, in_root(w, "t"), MIB(1), &plain, &w->err), 0);
    assert_str(sha256_text(&w->arena, plain), first);
}

static void test_whiteouts(void **state)
{
    struct world *w = *state;
    begin(w, "t", ARCHIVE_FILTER_NONE);
    put_file(w, ".wh.gone", NULL);
    put_file(w, "d/.wh.x", NULL);
    put_file(w, "o/.wh..wh..opq", NULL);
    put_file(w, ".wh..wh.plnk", NULL);
    put_file(w, ".wh.again", NULL);
    put(w, entry("again", S_IFDIR | 0755), NULL);
    put_file(w, ".wh.file", NULL);
    put_file(w, "file", "new");
    put_file(w, "kept/f", "1");
    put_file(w, ".wh.kept", NULL);
    put_file(w, ".wh.deep", NULL);
    put_file(w, "deep/er/f", "2");
    end(w);
    assert_int_equal(unpack(w, "t", "l", NULL), 0);
    struct stat st = stat_of(w, "l/gone");
    assert_true(tree_is_whiteout(&st));
    st = stat_of(w, "l/d/x");
    assert_true(tree_is_whiteout(&st));
    assert_true(opaque(w, "l/o"));
    assert_true(absent(w, "l/.wh..wh.plnk") && absent(w, "l/.wh.gone"));
    assert_true(S_ISDIR(stat_of(w, "l/again").st_mode) && opaque(w, "l/again"));
    assert_content(w, "l/file", "new");
    assert_content(w, "l/kept/f", "1");
    assert_true(opaque(w, "l/kept"));
    assert_true(opaque(w, "l/deep") && !opaque(w, "l/deep/er"));
}

/* What the layer leaves unsaid comes from the layers below. */
static void test_upon_lower(void **state)
{
    struct world *w = *state;
    begin(w, "base", ARCHIVE_FILTER_NONE);
    struct archive_entry *e = entry("priv", S_IFDIR | 0700);
    archive_entry_set_uid(e, 7);
    put(w, e, NULL);
    put_file(w, "priv/old", "old");
    put(w, entry("usr/bin", S_IFDIR | 0755), NULL);
    put_link(w, "bin", "usr/bin");
    put_link(w, "abs", "/usr/bin");
    put_file(w, "usr/bin/tool", "tool");
    put(w, entry("shadow", S_IFDIR | 0711), NULL);
    end(w);
    assert_int_equal(unpack(w, "base", "l0", NULL), 0);

    begin(w, "top", ARCHIVE_FILTER_NONE);
    put_file(w, "priv/new", "new");
    put_file(w, "bin/extra", "x");
    put_file(w, "abs/extra2", "y");
    put_hardlink(w, "usr/bin/tool2", "usr/bin/tool");
    put_file(w, ".wh.shadow", NULL);
    put_file(w, "shadow/f", "z");
    end(w);
    assert_int_equal(unpack(w, "top", "l1", "l0"), 0);
    assert_int_equal(stat_of(w, "l1/priv").st_mode, S_IFDIR | 0700);
    assert_int_equal(stat_of(w, "l1/priv").st_uid, 7);
    assert_true(absent(w, "l1/priv/old"));
    assert_true(S_ISLNK(stat_of(w, "l1/bin").st_mode));
    assert_content(w, "l1/usr/bin/extra", "x");
    assert_content(w, "l1/usr/bin/extra2", "y");
    assert_content(w, "l1/usr/bin/tool2", "tool");
    assert_int_equal(stat_of(w, "l1/usr/bin/tool").st_nlink, 2);
    assert_int_equal(stat_of(w, "l1/shadow").st_mode, S_IFDIR | 0755);
    assert_true(opaque(w, "l1/shadow"));
}

/* Each archive tries to reach "outside", which lies beside the target. */
static void test_escapes(void **state)
{
    struct world *w = *state;
    assert_int_equal(mkdir(in_root(w, "outside"), 0755), 0);
    assert_int_equal(
        file_write(AT_FDCWD, in_root(w, "outside/f"), STR("safe"), 0644, FILE_FAST, &w->err), 0);
    struct stat before = stat_of(w, "outside");
    const char *outside = in_root(w, "outside");
    for (int attack = 0; attack < 8; attack++) {
        char name[8];
        snprintf(name, sizeof name, "e%d", attack);
        begin(w, "t", ARCHIVE_FILTER_NONE);
        switch (attack) {
        case 0: put_file(w, "../outside/f", "bad"); break;
        case 1:
            put_link(w, "ln", "../outside");
            put_file(w, "ln/f", "bad");
            break;
        case 2:
            put_link(w, "ln", outside);
            put_file(w, "ln/f", "bad");
            break;
        case 3:
            put_link(w, "f", "../outside/f");
            put_file(w, "f", "bad");
            break;
        case 4: put_hardlink(w, "hard", "../outside/f"); break;
        case 5:
            put_link(w, "ln", outside);
            put_hardlink(w, "hard", "ln/f");
            break;
        case 6:
            put_link(w, "ln", "../outside");
            put(w, entry("ln", S_IFDIR | 0777), NULL);
            put_file(w, "ln/.wh..wh..opq", NULL);
            break;
        default:
            put_link(w, "a", "b");
            put_link(w, "b", "a");
            put_file(w, "a/f", "bad");
            break;
        }
        end(w);
        int r = unpack(w, "t", name, NULL);
        assert_true(r == 0 || attack == 0 || attack == 4 || attack == 5 || attack == 7);
        assert_content(w, "outside/f", "safe");
        assert_int_equal(stat_of(w, "outside/f").st_nlink, 1);
        assert_int_equal(stat_of(w, "outside").st_mode, before.st_mode);
        assert_false(opaque(w, "outside"));
        assert_int_equal(stat_of(w, "outside").st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    }
}

static void test_replaced(void **state)
{
    struct world *w = *state;
    begin(w, "t", ARCHIVE_FILTER_NONE);
    put_file(w, "a/b/c", "1");
    put_file(w, "a/b", "2"); /* a folder with content becomes a file */
    put_link(w, "x", "a");
    put_file(w, "x", "3"); /* a link becomes a file, its target stays */
    put_file(w, "y", "4");
    put_file(w, "y/z", "5"); /* a file cannot be walked through */
    end(w);
    assert_true(unpack(w, "t", "l", NULL) < 0);
    assert_content(w, "l/a/b", "2");
    assert_content(w, "l/x", "3");
    assert_true(S_ISDIR(stat_of(w, "l/a").st_mode));
    assert_content(w, "l/y", "4");
}

static void test_damaged(void **state)
{
    struct world *w = *state;
    struct str whole;
    begin(w, "t", ARCHIVE_FILTER_GZIP);
    char *big = xcalloc(1, 100001);
    memset(big, 'x', 100000);
    for (size_t i = 0; i < 100000; i++)
        big[i] = (char)(i * i >> 3 | 1);
    put_file(w, "big", big);
    free(big);
    end(w);
    assert_int_equal(file_read(&w->arena, AT_FDCWD, in_root(w, "t"), MIB(1), &whole, &w->err), 0);
    const char *path = in_root(w, "t");
    for (size_t cut = 0; cut < whole.n; cut += whole.n / 23) {
        char name[32];
        snprintf(name, sizeof name, "d%zu", cut);
        struct str part = str_sub(whole, 0, cut);
        assert_int_equal(file_write(AT_FDCWD, path, part, 0644, FILE_FAST, &w->err), 0);
        int r = unpack(w, "t", name, NULL);
        assert_true(cut == 0 ? r == 0 : r == -ERR_INVALID);
    }
    assert_int_equal(file_write(AT_FDCWD, path, STR("no tar at all"), 0644, FILE_FAST, &w->err), 0);
    assert_int_equal(unpack(w, "t", "none", NULL), -ERR_INVALID);
}

/* rm -rf of a tree deeper than the descriptors it may use. */
static void test_deep_removal(void **state)
{
    struct world *w = *state;
    CLEANUP(close_fd) int at = dir_open(AT_FDCWD, w->root);
    assert_int_equal(mkdirat(at, "deep", 0755), 0);
    int fd = dir_open(at, "deep");
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = dir_open(fd, "d");
        close(fd);
        fd = next;
    }
    close(fd);
    assert_int_equal(tree_remove(at, "deep", &w->err), 0);
    assert_true(absent(w, "deep"));
}

static void test_layers(void **state)
{
    struct world *w = *state;
    struct content c;
    assert_int_equal(content_init(&c, in_root(w, "store"), &w->err), 0);
    begin(w, "t", ARCHIVE_FILTER_NONE);
    put_file(w, "f", "1");
    end(w);
    struct str bytes, blob, diff[2], chain[2];
    assert_int_equal(file_read(&w->arena, AT_FDCWD, in_root(w, "t"), MIB(1), &bytes, &w->err), 0);
    assert_int_equal(content_put(&c, &w->arena, bytes, &blob, &w->err), 0);
    diff[0] = diff[1] = blob;
    layers_chain(&w->arena, diff, 2, chain);
    assert_true(str_eq(chain[0], blob) && !str_eq(chain[1], blob));
    assert_int_equal(layers_unpack(&c, blob, diff[0], chain, 1, &w->err), 0);
    assert_int_equal(layers_unpack(&c, blob, diff[1], chain, 2, &w->err), 0);
    assert_true(layers_have(&c, chain[0]) && layers_have(&c, chain[1]));
    assert_int_equal(layers_unpack(&c, blob, diff[1], chain, 2, &w->err), 0);
    struct str wrong = sha256_text(&w->arena, STR("other"));
    assert_int_equal(layers_unpack(&c, blob, wrong, &wrong, 1, &w->err), -ERR_INVALID);
    assert_false(layers_have(&c, wrong));
    content_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compressions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whiteouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upon_lower, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deep_removal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layers, setup, teardown),
    };
    if (geteuid() != 0) {
        print_message("skipped: devices, owners and trusted xattrs need root\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
