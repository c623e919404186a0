/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The durable file: one SQLite database in WAL mode, owned by one process.
 *
 *   revision   one row for each put; id: see item.h; the value without the revision's text; check:
 *              a checksum of all that, because SQLite has none for its pages
 *   meta       'reserved': see backend.h
 *
 * Locking is exclusive, which also spares the shared memory of the WAL index. A commit writes
 * pages to the log and flushes it once (synchronous=FULL). When the log has grown enough, the store
 * is asked for a JOB_TIDY, which copies the pages into the database proper; the log then starts
 * again from its beginning, and never grows much beyond that. Dropped rows leave free pages, which
 * new rows use; when they are a large part of the file, some are given back at each JOB_TIDY.
 *
 * A commit that fails in its flush (not: for want of space, which shows earlier) may have reached
 * the log. The next commit overwrites it; if the process dies before that, it is found by the next
 * load: a write that was reported as failed may then exist.
 */
#include "store/sqlite.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
    APPLICATION_ID = 0x42617271, /* "Barq", in the file's header */
    FORMAT_VERSION = 1,
    PAGE_BYTES = 8192,
    CACHE_KIB = 1024,
    WAL_TIDY_BYTES = 4 << 20,
    WAL_FILE_BYTES_MAX = 16 << 20, /* a log that one big commit made longer is cut to this */
    /* Free pages are given back when they are this many and a third of the file. */
    FREE_PAGES_MIN = 1024,
    FREE_PAGES_STEP = 256,
    BACKUP_PAGES_STEP = 512,
    VALUE_ROOM_KEPT = 256 << 10,
    ROW_DELETED = 1, /* revision.flags */
};

/* ---- checksum ---- */

/* Part of the file's format: must not change. */
static uint64_t fold(uint64_t h, uint64_t word)
{
    __uint128_t m = (__uint128_t)(h ^ word) * 0x9e3779b97f4a7c15u;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t fold_str(uint64_t h, struct str s)
{
    h = fold(h, s.n);
    uint64_t w;
    for (; s.n >= sizeof w; s = str_sub(s, sizeof w, s.n)) {
        memcpy(&w, s.p, sizeof w);
        h = fold(h, le64toh(w));
    }
    w = 0;
    if (s.n)
        memcpy(&w, s.p, s.n);
    return fold(h, le64toh(w));
}

/* value: joined */
static int32_t row_check(const struct row *r, struct str value)
{
    uint64_t h = fold(0x42617271u, (uint64_t)r->id);
    h = fold(h, (uint64_t)r->create_rev);
    h = fold(h, (uint64_t)r->splice_at * 2 + r->deleted);
    h = fold_str(fold_str(h, r->key), value);
    return (int32_t)(h ^ h >> 32);
}

/* ---- errors ---- */

static bool means_corrupt(int rc)
{
    rc &= 0xff;
    return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB || rc == SQLITE_FORMAT;
}

static int corrupt(struct err *e, const char *path, const char *what)
{
    return err_set(e, ERR_STORE_CORRUPT,
                   "database %s is damaged (%s): move it and %s-wal away and restore a backup in "
                   "its place; without one, \"sqlite3 FILE .recover\" on what was moved away "
                   "shows what can still be read",
                   path, what, path);
}

/* The process that holds a POSIX lock on the file, or 0. /proc/locks is asked rather than the
 * file, because closing a descriptor of it would end the locks that this process may hold. */
static int lock_holder(const char *path)
{
    struct stat st;
    FILE *locks = fopen("/proc/locks", "re");
    if (!locks || stat(path, &st) != 0) {
        if (locks)
            fclose(locks);
        return 0;
    }
    char line[200], want[64];
    snprintf(want, sizeof want, "%02x:%02x:%llu", major(st.st_dev), minor(st.st_dev),
             (unsigned long long)st.st_ino);
    int found = 0;
    while (!found && fgets(line, sizeof line, locks)) {
        char file[64];
        int pid;
        if (sscanf(line, "%*s POSIX %*s WRITE %d %63s", &pid, file) == 2 && strcmp(file, want) == 0)
            found = pid;
    }
    fclose(locks);
    return found;
}

static int locked(struct err *e, const char *path)
{
    int pid = lock_holder(path);
    char name[64] = "", file[64];
    if (pid <= 0)
        return err_set(e, ERR_IO, "database %s is locked by another process", path);
    snprintf(file, sizeof file, "/proc/%d/comm", pid);
    FILE *comm = fopen(file, "re");
    if (comm) {
        if (!fgets(name, sizeof name, comm))
            name[0] = 0;
        fclose(comm);
    }
    name[strcspn(name, "\n")] = 0;
    return err_set(e, ERR_IO, "database %s is locked by process %d (%s)", path, pid,
                   name[0] ? name : "unknown");
}

/* "disk I/O error: No space left on device" */
static void describe(struct database *d, char *out, size_t room)
{
    int error = sqlite3_system_errno(d->db);
    int rc = sqlite3_errcode(d->db) & 0xff;
    bool from_system = rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN || rc == SQLITE_FULL;
    char text[100];
    snprintf(out, room, "%s%s%s", sqlite3_errmsg(d->db), error && from_system ? ": " : "",
             error && from_system ? strerror_r(error, text, sizeof text) : "");
}

static int open_error(struct database *d, struct err *e)
{
    int rc = sqlite3_errcode(d->db) & 0xff;
    char why[JOB_WHY_MAX];
    describe(d, why, sizeof why);
    if (means_corrupt(rc))
        return corrupt(e, d->path, why);
    if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
        return locked(e, d->path);
    return err_set(e, ERR_IO, "database %s: %s", d->path, why);
}

/* ---- opening ---- */

/* The value of a statement that gives one integer. SQLITE_OK or an SQLite error. */
static int get_int(struct database *d, const char *sql, int64_t *ret)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(d->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    *ret = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int committed(void *arg, sqlite3 *db, const char *name, int wal_pages)
{
    struct database *d = arg;
    d->wal_pages = wal_pages;
    return SQLITE_OK;
}

/* What only a new file takes; on an existing one setting auto_vacuum would be a write. */
static int configure_new(struct database *d)
{
    int64_t pages;
    int rc = get_int(d, "PRAGMA page_count", &pages);
    if (rc != SQLITE_OK || pages > 0)
        return rc;
    char sql[100];
    snprintf(sql, sizeof sql, "PRAGMA page_size=%d;PRAGMA auto_vacuum=INCREMENTAL", PAGE_BYTES);
    return sqlite3_exec(d->db, sql, NULL, NULL, NULL);
}

static int configure(struct database *d)
{
    int rc = sqlite3_exec(d->db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = configure_new(d);
    if (rc != SQLITE_OK)
        return rc;
    char sql[200];
    snprintf(sql, sizeof sql,
             "PRAGMA cache_size=-%d;PRAGMA mmap_size=0;PRAGMA secure_delete=OFF;"
             "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA journal_size_limit=%d",
             CACHE_KIB, WAL_FILE_BYTES_MAX);
    rc = sqlite3_exec(d->db, sql, NULL, NULL, NULL);
    sqlite3_wal_hook(d->db, committed, d); /* replaces automatic checkpoints */
    return rc;
}

static int create(struct database *d)
{
    char sql[600];
    snprintf(sql, sizeof sql,
             "BEGIN IMMEDIATE;"
             "CREATE TABLE revision(id INTEGER PRIMARY KEY,key BLOB NOT NULL,"
             "create_rev INTEGER NOT NULL,splice INTEGER,flags INTEGER NOT NULL,"
             "\"check\" INTEGER NOT NULL,value BLOB);"
             "CREATE TABLE meta(name TEXT PRIMARY KEY,value INTEGER NOT NULL) WITHOUT ROWID;"
             "INSERT INTO meta VALUES('reserved',0);"
             "PRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT",
             APPLICATION_ID, FORMAT_VERSION);
    return sqlite3_exec(d->db, sql, NULL, NULL, NULL);
}

/* Makes sure that the file is ours, creating its tables when it is empty. */
static int check_format(struct database *d, struct err *e)
{
    int64_t tables, id, version;
    if (get_int(d, "SELECT count(*) FROM sqlite_schema", &tables) != SQLITE_OK ||
        get_int(d, "PRAGMA application_id", &id) != SQLITE_OK ||
        get_int(d, "PRAGMA user_version", &version) != SQLITE_OK)
        return open_error(d, e);
    if (tables == 0 && id == 0)
        return create(d) == SQLITE_OK ? 0 : open_error(d, e);
    if (id != APPLICATION_ID)
        return err_set(e, ERR_IO, "%s is a database of another program", d->path);
    if (version != FORMAT_VERSION)
        return err_set(e, ERR_IO,
                       "database %s has format %lld and this program knows format %d: use the "
                       "version of Barque that wrote it",
                       d->path, (long long)version, FORMAT_VERSION);
    return 0;
}

static int prepare(struct database *d, struct err *e)
{
    const struct {
        sqlite3_stmt **st;
        const char *sql;
    } all[] = {
        {&d->begin, "BEGIN IMMEDIATE"},
        {&d->commit, "COMMIT"},
        {&d->rollback, "ROLLBACK"},
        {&d->insert, "INSERT INTO revision VALUES(?,?,?,?,?,?,?)"},
        {&d->drop, "DELETE FROM revision WHERE id=?"},
        {&d->reserve, "UPDATE meta SET value=? WHERE name='reserved'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (sqlite3_prepare_v3(d->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, all[i].st, NULL) !=
            SQLITE_OK)
            return open_error(d, e);
    return 0;
}

/* A name that was just made is durable only when its folder is. */
static int sync_folder(const char *path)
{
    char *copy = xstrdup(path);
    CLEANUP(close_fd) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    return fd < 0 || fsync(fd) != 0 ? -1 : 0;
}

/* State has secrets in it: only its owner may read a new file. An existing one is not opened here
 * (see lock_holder). */
static int make_file(const char *path, struct err *e)
{
    CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return err_errno(e, errno, "database %s", path);
    return 0;
}

int database_open(struct database *d, const char *path, struct err *e)
{
    *d = (struct database){.path = xstrdup(path), .value = BUF_INIT(STORE_VALUE_MAX)};
    int rc = make_file(path, e);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (rc == 0 &&
        (sqlite3_open_v2(path, &d->db, flags, NULL) != SQLITE_OK || configure(d) != SQLITE_OK))
        rc = open_error(d, e);
    if (rc == 0)
        rc = check_format(d, e);
    if (rc == 0)
        rc = prepare(d, e);
    if (rc == 0 && sync_folder(path) != 0)
        rc = err_errno(e, errno, "folder of database %s", path);
    if (rc)
        database_close(d);
    return rc;
}

static void end_copy(struct database *d)
{
    sqlite3_backup_finish(d->copy);
    sqlite3_close(d->copy_db);
    if (d->copy_path)
        unlink(d->copy_path);
    free(d->copy_path);
    d->copy = NULL;
    d->copy_db = NULL;
    d->copy_path = NULL;
}

void database_close(struct database *d)
{
    end_copy(d);
    sqlite3_stmt *all[] = {d->begin, d->commit, d->rollback, d->insert, d->drop, d->reserve};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        sqlite3_finalize(all[i]);
    sqlite3_close(d->db);
    buf_fini(&d->value);
    free(d->path);
    *d = (struct database){0};
}

/* ---- loading ---- */

static struct str column_bytes(sqlite3_stmt *st, int column)
{
    const char *p = sqlite3_column_blob(st, column);
    return str_n(p, (size_t)sqlite3_column_bytes(st, column));
}

/* The columns in the order of the table. */
static bool read_row(sqlite3_stmt *st, struct row *ret)
{
    *ret = (struct row){
        .id = sqlite3_column_int64(st, 0),
        .key = column_bytes(st, 1),
        .create_rev = sqlite3_column_int64(st, 2),
        .splice_at = SIZE_MAX,
        .deleted = sqlite3_column_int64(st, 4) & ROW_DELETED,
        .head = column_bytes(st, 6),
    };
    if (sqlite3_column_type(st, 3) != SQLITE_NULL)
        ret->splice_at = (size_t)sqlite3_column_int64(st, 3);
    return sqlite3_column_int64(st, 5) == row_check(ret, ret->head);
}

static int load_rows(struct database *d, sqlite3_stmt *st,
                     int (*fn)(void *arg, const struct row *r, struct err *e), void *arg,
                     struct err *e)
{
    int step;
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        struct row r;
        if (!read_row(st, &r)) {
            char what[80];
            snprintf(what, sizeof what, "row %lld has a wrong checksum", (long long)r.id);
            return corrupt(e, d->path, what);
        }
        int rc = fn(arg, &r, e);
        if (rc)
            return rc == -ERR_STORE_CORRUPT ? corrupt(e, d->path, e->message.p) : rc;
    }
    return step == SQLITE_DONE ? 0 : open_error(d, e);
}

int database_load(struct database *d, int (*fn)(void *arg, const struct row *r, struct err *e),
                  void *arg, rev_t *ret_reserved, struct err *e)
{
    int64_t page_bytes;
    if (get_int(d, "PRAGMA page_size", &page_bytes) != SQLITE_OK ||
        get_int(d, "SELECT value FROM meta WHERE name='reserved'", ret_reserved) != SQLITE_OK)
        return open_error(d, e);
    d->page_bytes = (int)page_bytes;
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(d->db, "SELECT * FROM revision ORDER BY id", -1, &st, NULL) != SQLITE_OK)
        return open_error(d, e);
    int rc = load_rows(d, st, fn, arg, e);
    sqlite3_finalize(st);
    return rc;
}

/* ---- committing ---- */

/* Statements here give no rows. */
static int run(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static struct str joined(struct database *d, const struct row *r)
{
    if (r->tail.n == 0)
        return r->head;
    buf_clear(&d->value);
    buf_str(&d->value, r->head);
    buf_str(&d->value, r->tail);
    return d->value.failed ? STR_NULL : buf_view(&d->value);
}

static void bind_bytes(sqlite3_stmt *st, int at, struct str s)
{
    sqlite3_bind_blob(st, at, s.p ? s.p : "", (int)s.n, SQLITE_STATIC);
}

static int insert(struct database *d, const struct row *r)
{
    sqlite3_stmt *st = d->insert;
    struct str value = joined(d, r);
    if (value.n != r->head.n + r->tail.n)
        return SQLITE_NOMEM;
    sqlite3_bind_int64(st, 1, r->id);
    bind_bytes(st, 2, r->key);
    sqlite3_bind_int64(st, 3, r->create_rev);
    if (r->splice_at == SIZE_MAX)
        sqlite3_bind_null(st, 4);
    else
        sqlite3_bind_int64(st, 4, (int64_t)r->splice_at);
    sqlite3_bind_int64(st, 5, r->deleted ? ROW_DELETED : 0);
    sqlite3_bind_int64(st, 6, row_check(r, value));
    bind_bytes(st, 7, value);
    return run(st);
}

static int write_all(struct database *d, const struct job *j)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < j->n_rows && rc == SQLITE_OK; i++)
        rc = insert(d, &j->rows[i]);
    for (size_t i = 0; i < j->n_drop && rc == SQLITE_OK; i++) {
        sqlite3_bind_int64(d->drop, 1, j->drop[i]);
        rc = run(d->drop);
    }
    if (rc == SQLITE_OK && j->reserve) {
        sqlite3_bind_int64(d->reserve, 1, j->reserve);
        rc = run(d->reserve);
    }
    return rc;
}

static void fail(struct database *d, struct job *j)
{
    j->error = -ERR_IO;
    describe(d, j->why, sizeof j->why);
}

static void commit(struct database *d, struct job *j)
{
    int pages_before = d->wal_pages;
    int rc = run(d->begin);
    if (rc == SQLITE_OK)
        rc = write_all(d, j);
    if (rc == SQLITE_OK)
        rc = run(d->commit);
    if (rc != SQLITE_OK) {
        fail(d, j);
        if (!sqlite3_get_autocommit(d->db))
            (void)run(d->rollback); /* what else is there to do with its failure */
        return;
    }
    bool wrapped = d->wal_pages < pages_before; /* the log began anew */
    int pages = wrapped ? d->wal_pages : d->wal_pages - pages_before;
    j->bytes_written = (uint64_t)pages * (uint64_t)d->page_bytes;
    j->untidy = (int64_t)d->wal_pages * d->page_bytes >= WAL_TIDY_BYTES;
    if (d->value.room > VALUE_ROOM_KEPT)
        buf_fini(&d->value);
}

/* ---- tidying ---- */

static int give_back_pages(struct database *d)
{
    int64_t free_pages, pages;
    int rc = get_int(d, "PRAGMA freelist_count", &free_pages);
    if (rc == SQLITE_OK)
        rc = get_int(d, "PRAGMA page_count", &pages);
    if (rc != SQLITE_OK || free_pages < FREE_PAGES_MIN || free_pages < pages / 3)
        return rc;
    char sql[60];
    snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", FREE_PAGES_STEP);
    return sqlite3_exec(d->db, sql, NULL, NULL, NULL);
}

static void tidy(struct database *d, struct job *j)
{
    int log_pages = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(d->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &log_pages, &moved);
    if (rc == SQLITE_OK)
        rc = give_back_pages(d);
    if (rc != SQLITE_OK)
        fail(d, j);
    j->bytes_written = (uint64_t)MAX(moved, 0) * (uint64_t)d->page_bytes;
}

/* ---- backup ---- */

static int copy_error(struct job *j, int error, const char *why)
{
    snprintf(j->why, sizeof j->why, "%s", why);
    j->error = error;
    return error;
}

static int begin_copy(struct database *d, struct job *j)
{
    if (access(j->path, F_OK) == 0)
        return copy_error(j, -ERR_ALREADY_EXISTS, "the file exists");
    d->copy_path = xasprintf("%s.partial", j->path);
    unlink(d->copy_path);
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    int rc = make_file(d->copy_path, &e);
    arena_fini(&a);
    if (rc)
        return copy_error(j, rc, strerror(errno));
    rc = sqlite3_open_v2(d->copy_path, &d->copy_db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                         NULL);
    if (rc == SQLITE_OK)
        d->copy = sqlite3_backup_init(d->copy_db, "main", d->db, "main");
    return d->copy ? 0 : copy_error(j, -ERR_IO, sqlite3_errmsg(d->copy_db));
}

/* Replaces nothing, where the filesystem can promise that. */
static int rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    return errno == EINVAL ? rename(from, to) : -1;
}

static int end_copy_well(struct database *d, struct job *j)
{
    int rc = sqlite3_backup_finish(TAKE_PTR(d->copy));
    if (rc != SQLITE_OK)
        return copy_error(j, -ERR_IO, sqlite3_errstr(rc));
    sqlite3_close(TAKE_PTR(d->copy_db));
    if (rename_new(d->copy_path, j->path) != 0 || sync_folder(j->path) != 0)
        return copy_error(j, -ERR_IO, strerror(errno));
    return 0;
}

static void back_up(struct database *d, struct job *j)
{
    int rc = d->copy ? 0 : begin_copy(d, j);
    if (rc == 0) {
        rc = sqlite3_backup_step(d->copy, BACKUP_PAGES_STEP);
        j->more = rc == SQLITE_OK || rc == SQLITE_BUSY;
        if (j->more)
            return;
        if (rc == SQLITE_DONE)
            (void)end_copy_well(d, j); /* its error is in the job */
        else
            copy_error(j, -ERR_IO, sqlite3_errstr(rc));
    }
    end_copy(d);
}

void database_run(struct database *d, struct job *j)
{
    switch (j->kind) {
    case JOB_COMMIT: commit(d, j); break;
    case JOB_TIDY: tidy(d, j); break;
    case JOB_BACKUP: back_up(d, j); break;
    }
}
