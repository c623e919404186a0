/* SPDX-License-Identifier: Apache-2.0 */
/* The file: who may open it, what damage does to it, how large it gets, a full disk, a backup. */
#include "store/testing.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static off_t file_size(const char *path, const char *suffix)
{
    char *name = xasprintf("%s%s", path, suffix);
    struct stat st;
    off_t size = stat(name, &st) == 0 ? st.st_size : 0;
    free(name);
    return size;
}

static void message_has(struct fixture *f, const char *text)
{
    if (str_find(f->err.message, str_z(text)) < 0)
        fail_msg("no \"%s\" in \"%.*s\"", text, STR_ARG(f->err.message));
}

static void fill(struct fixture *f, int keys, size_t value_n)
{
    char *value = xcalloc(1, value_n + 1);
    for (int i = 0; i < keys; i++) {
        char key[32];
        snprintf(key, sizeof key, "/key/%06d", i);
        memset(value, 'a' + i % 26, value_n);
        struct put p = put_of(key, value);
        assert_int_equal(store_write(f->store, &p, 1, NULL, NULL, NULL), STORE_OK);
        if (i % 500 == 499)
            run(f);
    }
    run(f);
    free(value);
}

/* ---- opening ---- */

static void only_the_owner_may_read_it(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    put(&f, "/secret", "s");
    static const char *const files[] = {"", "-wal"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char name[200];
        struct stat st;
        snprintf(name, sizeof name, "%s%s", f.path, files[i]);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    teardown(&f);
}

static void a_missing_folder_is_named(void **state)
{
    struct fixture f;
    setup(&f);
    f.config.path = "/nonexistent/folder/state.db";
    assert_int_equal(fixture_open(&f), -ERR_IO);
    message_has(&f, "/nonexistent/folder/state.db: No such file or directory");
    teardown(&f);
}

static void a_second_process_learns_who_has_it(void **state)
{
    struct fixture f;
    setup(&f);
    int ready[2], go[2];
    assert_int_equal(pipe(ready) | pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        must_open(&f);
        (void)!write(ready[1], "x", 1);
        (void)!read(go[0], &c, 1);
        _exit(0);
    }
    char c, want[64];
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(fixture_open(&f), -ERR_IO);
    message_has(&f, "is locked by");
    snprintf(want, sizeof want, "process %d (", pid);
    FILE *locks = fopen("/proc/locks", "r");
    if (locks && fgets((char[200]){0}, 200, locks)) /* where the kernel tells */
        message_has(&f, want);
    if (locks)
        fclose(locks);
    assert_int_equal(write(go[1], "x", 1), 1);
    waitpid(pid, NULL, 0);
    must_open(&f);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
    teardown(&f);
}

static void the_same_process_cannot_open_it_twice(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    put(&f, "/a", "1");
    struct store *second = NULL;
    assert_int_equal(store_open(f.loop, &f.config, &second, &f.err), -ERR_IO);
    message_has(&f, "is locked");
    put(&f, "/a", "2");
    teardown(&f);
}

static void a_database_of_another_program_is_left_alone(void **state)
{
    struct fixture f;
    setup(&f);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(fixture_open(&f), -ERR_IO);
    message_has(&f, "of another program");
    teardown(&f);
}

static void a_newer_format_is_refused(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    close_store(&f);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(fixture_open(&f), -ERR_IO);
    message_has(&f, "has format 99");
    teardown(&f);
}

/* ---- damage ---- */

static void overwrite(const char *path, off_t at, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, at), n);
    close(fd);
}

static void a_flipped_bit_is_found(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    put(&f, "/a", "The quick brown fox jumps over the lazy dog");
    close_store(&f);
    char *all = xmalloc((size_t)file_size(f.path, ""));
    size_t n = (size_t)file_size(f.path, "");
    int fd = open(f.path, O_RDONLY);
    assert_int_equal(read(fd, all, n), n);
    close(fd);
    ptrdiff_t at = str_find(str_n(all, n), STR("brown"));
    assert_true(at > 0);
    free(all);
    overwrite(f.path, at, "c", 1);
    assert_int_equal(fixture_open(&f), -ERR_STORE_CORRUPT);
    message_has(&f, "row 256 has a wrong checksum");
    message_has(&f, "restore a backup");
    message_has(&f, f.path);
    teardown(&f);
}

static void garbage_is_refused(void **state)
{
    struct fixture f;
    setup(&f);
    int fd = open(f.path, O_WRONLY | O_CREAT, 0600);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(write(fd, "this is not a database\n", 23), 23);
    close(fd);
    assert_int_equal(fixture_open(&f), -ERR_STORE_CORRUPT);
    message_has(&f, "file is not a database");
    teardown(&f);
}

/* Damage anywhere gives an error or, where it hit unused bytes, a store that works. */
static int refused, opened;

static void damage_once(struct fixture *f, const char *sound, size_t n, struct chance *c)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, sound, n), n);
    if (chance_below(c, 10) == 0)
        assert_int_equal(ftruncate(fd, (off_t)chance_below(c, n)), 0);
    close(fd);
    for (uint64_t k = 1 + chance_below(c, 4); k > 0; k--) {
        uint64_t word = chance_below(c, UINT64_MAX);
        /* half of the damage where the structure is: at the start of pages */
        off_t at = (off_t)chance_below(c, n - 8);
        if (chance_below(c, 2))
            at = at / 8192 * 8192 + (off_t)chance_below(c, 120);
        overwrite(f->path, at, &word, 1 + chance_below(c, 8));
    }
    int rc = fixture_open(f);
    if (rc) {
        refused++;
        return;
    }
    opened++;
    struct result r;
    if (start_put(f, put_of("/key/new", "v"), &r) == STORE_OK)
        run(f);
    close_store(f);
}

static void damage_is_survived(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    fill(&f, 300, 700);
    close_store(&f);
    size_t n = (size_t)file_size(f.path, "");
    char *sound = xmalloc(n);
    int fd = open(f.path, O_RDONLY);
    assert_int_equal(read(fd, sound, n), n);
    close(fd);
    struct chance c = {11};
    for (int i = 0; i < 150; i++) {
        damage_once(&f, sound, n, &c);
        char wal[200];
        snprintf(wal, sizeof wal, "%s-wal", f.path);
        unlink(wal);
    }
    free(sound);
    assert_true(refused > 50);
    teardown(&f);
}

/* ---- size ---- */

static void updates_of_one_object_keep_the_file_small(void **state)
{
    struct fixture f;
    setup(&f);
    f.config.ring_bytes_max = MIB(1);
    must_open(&f);
    char value[2001];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    struct put p = put_of("/a", value);
    off_t file_max = 0, wal_max = 0;
    for (int i = 0; i < 40000; i++) {
        assert_int_equal(store_write(f.store, &p, 1, NULL, NULL, NULL), STORE_OK);
        if (i % 128 == 0) {
            run(&f);
            file_max = MAX(file_max, file_size(f.path, ""));
            wal_max = MAX(wal_max, file_size(f.path, "-wal"));
        }
    }
    run(&f);
    assert_in_range(file_max, 1, MIB(12));
    assert_in_range(wal_max, 1, MIB(12));
    teardown(&f);
}

static void space_is_given_back(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    fill(&f, 8000, 4000);
    off_t full = 0, now = 0;
    for (int i = 0; i < 8000; i++) {
        char key[32];
        snprintf(key, sizeof key, "/key/%06d", i);
        struct put p = put_of(key, "");
        p.flags = STORE_DELETE;
        assert_int_equal(store_write(f.store, &p, 1, NULL, NULL, NULL), STORE_OK);
        if (i % 500 == 0)
            run(&f);
        full = MAX(full, file_size(f.path, ""));
    }
    char *large = xcalloc(1, KIB(400) + 1);
    memset(large, 'x', KIB(400));
    for (int i = 0; i < 100; i++)
        put(&f, "/last", large);
    free(large);
    now = file_size(f.path, "");
    assert_true(full > (off_t)MIB(30));
    assert_true(now < full / 2);
    teardown(&f);
}

static void an_idle_file_is_not_touched(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    fill(&f, 3000, 100);
    put_volatile(&f, "/v", "1");
    struct stat db1, wal1, db2, wal2;
    char wal[200];
    snprintf(wal, sizeof wal, "%s-wal", f.path);
    assert_int_equal(stat(f.path, &db1) | stat(wal, &wal1), 0);
    usleep(20000);
    put_volatile(&f, "/v", "2");
    run(&f); /* returns at once: nothing is registered with the loop */
    assert_int_equal(stat(f.path, &db2) | stat(wal, &wal2), 0);
    assert_memory_equal(&db1.st_mtim, &db2.st_mtim, sizeof db1.st_mtim);
    assert_memory_equal(&wal1.st_mtim, &wal2.st_mtim, sizeof wal1.st_mtim);
    close_store(&f);
    must_open(&f);
    assert_int_equal(stat(f.path, &db1), 0);
    close_store(&f);
    usleep(20000);
    must_open(&f);
    close_store(&f);
    assert_int_equal(stat(f.path, &db2), 0);
    assert_memory_equal(&db1.st_mtim, &db2.st_mtim, sizeof db1.st_mtim);
    teardown(&f);
}

/* ---- a full disk ---- */

static void limit_files_to(rlim_t bytes)
{
    struct rlimit lim;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &lim), 0);
    lim.rlim_cur = bytes == RLIM_INFINITY ? lim.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
}

static void a_full_disk_fails_writes_until_there_is_space(void **state)
{
    struct fixture f;
    setup(&f);
    signal(SIGXFSZ, SIG_IGN);
    must_open(&f);
    fill(&f, 50, 1000);
    limit_files_to((rlim_t)file_size(f.path, "-wal") + 50000);
    char value[3001];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    int ok = 0, failed = 0;
    for (int i = 0; i < 50; i++) {
        char key[32];
        struct result r;
        snprintf(key, sizeof key, "/full/%06d", i);
        assert_int_equal(start_put(&f, put_of(key, value), &r), STORE_OK);
        run(&f);
        assert_int_equal(r.calls, 1);
        ok += r.outcome == STORE_OK;
        failed += r.outcome == -ERR_IO;
        assert_int_equal(store_get(f.store, str_z(key)) != NULL, r.outcome == STORE_OK);
    }
    assert_true(ok > 0 && failed > 10 && ok + failed == 50);
    assert_true(store_failure(f.store).n > 0);
    limit_files_to(RLIM_INFINITY);
    put(&f, "/after", "1");
    assert_true(store_failure(f.store).n == 0);
    size_t count = store_count(f.store, STR(""));
    assert_int_equal(count, 50 + ok + 1);
    close_store(&f);
    must_open(&f);
    assert_int_equal(store_count(f.store, STR("")), count);
    assert_int_equal(store_count(f.store, STR("/full/")), ok);
    teardown(&f);
}

static void closing_on_a_full_disk_loses_nothing_durable(void **state)
{
    struct fixture f;
    setup(&f);
    signal(SIGXFSZ, SIG_IGN);
    must_open(&f);
    fill(&f, 50, 1000);
    put(&f, "/lease", "durable");
    for (int i = 0; i < 50; i++)
        put_volatile(&f, "/lease", "volatile");
    limit_files_to((rlim_t)file_size(f.path, "-wal"));
    struct result r;
    char value[30001];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 40; i++)
        start_put(&f, put_of("/big", value), &r);
    close_store(&f);
    limit_files_to(RLIM_INFINITY);
    must_open(&f);
    assert_int_equal(store_count(f.store, STR("/key/")), 50);
    assert_true(get(&f, "/lease").n > 0);
    teardown(&f);
}

/* ---- backup ---- */

static void note_end(void *arg, int error)
{
    *(int *)arg = error;
}

static void stop_later(struct timer *t)
{
    loop_stop(t->loop);
}

/* So that the backup has begun, but not ended. */
static void few_rounds(struct fixture *f)
{
    struct timer t = {0};
    timer_start(f->loop, &t, 3, stop_later);
    run(f);
}

static void a_backup_is_consistent(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    fill(&f, 20000, 700);
    char copy[200];
    snprintf(copy, sizeof copy, "%s/backup.db", f.dir);
    int ended = 1, second = 1;
    store_backup(f.store, copy, note_end, &ended);
    store_backup(f.store, copy, note_end, &second);
    /* both keys change in each transaction: a backup has both or none of a change */
    struct put both[] = {put_of("/a", "x"), put_of("/key/999999", "y")};
    for (int i = 0; i < 300; i++) {
        assert_int_equal(store_write(f.store, both, 2, NULL, NULL, NULL), STORE_OK);
        if (i == 20)
            few_rounds(&f);
    }
    run(&f);
    assert_int_equal(ended, 0);
    assert_int_equal(second, -ERR_UNAVAILABLE);
    store_backup(f.store, copy, note_end, &ended);
    run(&f);
    assert_int_equal(ended, -ERR_ALREADY_EXISTS);
    close_store(&f);
    f.config.path = copy;
    must_open(&f);
    assert_int_equal(store_count(f.store, STR("/key/0")), 20000);
    struct item *a = store_get(f.store, STR("/a")), *b = store_get(f.store, STR("/key/999999"));
    assert_true((a != NULL) == (b != NULL));
    if (a)
        assert_int_equal(a->mod_rev, b->mod_rev);
    put(&f, "/b", "goes on");
    teardown(&f);
}

static void closing_ends_a_backup(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    fill(&f, 5000, 2000);
    char copy[200];
    snprintf(copy, sizeof copy, "%s/backup.db", f.dir);
    int ended = 1;
    store_backup(f.store, copy, note_end, &ended);
    close_store(&f);
    assert_int_equal(ended, -ERR_CANCELED);
    assert_int_equal(file_size(copy, "") + file_size(copy, ".partial"), 0);
    teardown(&f);
}

static void a_backup_that_cannot_be_written_says_so(void **state)
{
    struct fixture f;
    setup(&f);
    must_open(&f);
    int ended = 1;
    store_backup(f.store, "/nonexistent/backup.db", note_end, &ended);
    run(&f);
    assert_int_equal(ended, -ERR_IO);
    put(&f, "/a", "1");
    teardown(&f);
}

TESTS(cmocka_unit_test(only_the_owner_may_read_it), cmocka_unit_test(a_missing_folder_is_named),
      cmocka_unit_test(a_second_process_learns_who_has_it),
      cmocka_unit_test(the_same_process_cannot_open_it_twice),
      cmocka_unit_test(a_database_of_another_program_is_left_alone),
      cmocka_unit_test(a_newer_format_is_refused), cmocka_unit_test(a_flipped_bit_is_found),
      cmocka_unit_test(garbage_is_refused), cmocka_unit_test(damage_is_survived),
      cmocka_unit_test(updates_of_one_object_keep_the_file_small),
      cmocka_unit_test(space_is_given_back), cmocka_unit_test(an_idle_file_is_not_touched),
      cmocka_unit_test(a_full_disk_fails_writes_until_there_is_space),
      cmocka_unit_test(closing_on_a_full_disk_loses_nothing_durable),
      cmocka_unit_test(a_backup_is_consistent), cmocka_unit_test(closing_ends_a_backup),
      cmocka_unit_test(a_backup_that_cannot_be_written_says_so))
