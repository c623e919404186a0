/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "engine/files.h"
#include "engine/snapshot.h"

struct world {
    struct arena arena;
    struct err err;
    char root[256];
};

static const char *in_root(struct world *w, const char *name)
{
    return arena_fmt(&w->arena, "%s/%s", w->root, name).p;
}

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    w->arena = ARENA_INIT;
    w->err = ERR_INIT(&w->arena);
    /* blanks, colons and commas mean something to mount, overlayfs and mountinfo */
    snprintf(w->root, sizeof w->root, "%s/snapshot test,a:b-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(w->root));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    assert_int_equal(mounts_undo(w->root, &w->err), 0); /* the test has undone its own */
    assert_int_equal(tree_remove(AT_FDCWD, w->root, &w->err), 0);
    arena_fini(&w->arena);
    free(w);
    return 0;
}

/* n folders, the first on top: each holds a file of its number, the upper two also "top". */
static struct str *make_lowers(struct world *w, size_t n)
{
    struct str *v = arena_array(&w->arena, n, struct str);
    for (size_t i = 0; i < n; i++) {
        struct str text = arena_fmt(&w->arena, "%zu", i);
        v[i] = arena_fmt(&w->arena, "%s/l%zu", w->root, i);
        assert_int_equal(dir_make(v[i].p, 0755, &w->err), 0);
        assert_int_equal(file_write(AT_FDCWD, arena_fmt(&w->arena, "%s/f%zu", v[i].p, i).p, text,
                                    0644, FILE_FAST, &w->err),
                         0);
        if (i < 2)
            assert_int_equal(file_write(AT_FDCWD, arena_fmt(&w->arena, "%s/top", v[i].p).p, text,
                                        0644, FILE_FAST, &w->err),
                             0);
    }
    return v;
}

static void assert_content(struct world *w, const char *path, const char *want)
{
    struct str s;
    if (file_read(&w->arena, AT_FDCWD, path, 1000, &s, &w->err) < 0)
        fail_msg("%.*s", STR_ARG(w->err.message));
    assert_str(s, want);
}

static void check_stack(struct world *w, size_t n)
{
    char name[32], number[32];
    struct str *lowers = make_lowers(w, n);
    const char *target = in_root(w, "mnt");
    if (snapshot_mount(in_root(w, "snap"), target, lowers, n, &w->err) < 0)
        fail_msg("%.*s", STR_ARG(w->err.message));
    assert_content(w, in_root(w, "mnt/top"), "0");
    for (size_t i = 0; i < n; i += MAX(n / 7, (size_t)1)) {
        snprintf(name, sizeof name, "mnt/f%zu", i);
        snprintf(number, sizeof number, "%zu", i);
        assert_content(w, in_root(w, name), number);
    }
    assert_int_equal(
        file_write(AT_FDCWD, in_root(w, "mnt/top"), STR("new"), 0644, FILE_FAST, &w->err), 0);
    assert_content(w, in_root(w, "snap/upper/top"), "new");
    assert_content(w, in_root(w, "l0/top"), "0");
    assert_int_equal(snapshot_unmount(target, &w->err), 0);
    assert_int_equal(snapshot_unmount(target, &w->err), 0);

    assert_int_equal(snapshot_mount_readonly(target, lowers, n, &w->err), 0);
    assert_content(w, in_root(w, "mnt/top"), "0");
    assert_true(file_write(AT_FDCWD, in_root(w, "mnt/x"), STR(""), 0644, FILE_FAST, &w->err) < 0);
    assert_int_equal(snapshot_unmount(target, &w->err), 0);
}

static void test_one(void **state)
{
    check_stack(*state, 1);
}

static void test_some(void **state)
{
    check_stack(*state, 3);
}

/* Too many for one page of options: descriptors stand for paths. */
static void test_many(void **state)
{
    check_stack(*state, 120);
}

/* More than overlayfs takes. */
static void test_too_many(void **state)
{
    check_stack(*state, 520);
}

/* What a crash of the machine leaves of a volatile mount. */
static void test_after_crash(void **state)
{
    struct world *w = *state;
    struct str *lowers = make_lowers(w, 2);
    assert_int_equal(dir_make(in_root(w, "snap/work/work/incompat/volatile"), 0755, &w->err), 0);
    assert_int_equal(snapshot_mount(in_root(w, "snap"), in_root(w, "mnt"), lowers, 2, &w->err), 0);
    assert_int_equal(snapshot_unmount(in_root(w, "mnt"), &w->err), 0);
}

static void test_undo(void **state)
{
    struct world *w = *state;
    assert_int_equal(dir_make(in_root(w, "a/b"), 0755, &w->err), 0);
    assert_int_equal(dir_make(in_root(w, "ab"), 0755, &w->err), 0);
    assert_int_equal(mount("x", in_root(w, "a"), "tmpfs", 0, NULL), 0);
    assert_int_equal(dir_make(in_root(w, "a/b c"), 0755, &w->err), 0);
    assert_int_equal(mount("x", in_root(w, "a/b c"), "tmpfs", 0, NULL), 0);
    assert_int_equal(mount("x", in_root(w, "ab"), "tmpfs", 0, NULL), 0);
    assert_true(is_mount_point(in_root(w, "a")));
    assert_int_equal(tree_remove(AT_FDCWD, in_root(w, "a"), &w->err), -ERR_IO);
    assert_int_equal(mounts_undo(in_root(w, "a"), &w->err), 2);
    assert_int_equal(mounts_undo(in_root(w, "a"), &w->err), 0);
    assert_true(is_mount_point(in_root(w, "ab")));
    assert_int_equal(mounted_tree_remove(in_root(w, "ab"), &w->err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_one),         TEST(test_some),
                                       TEST(test_many),        TEST(test_too_many),
                                       TEST(test_after_crash), TEST(test_undo)};
    if (geteuid() != 0) {
        print_message("skipped: mounting needs root\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
