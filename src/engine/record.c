/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine writes down, and small facts about processes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "engine/files.h"
#include "engine/local.h"

static const struct {
    const char *folder;
    const struct desc *desc;
} kinds[] = {
    [RECORD_POD] = {"pods", &enginev1_sandbox_record_desc},
    [RECORD_CONTAINER] = {"containers", &enginev1_container_record_desc},
};

const char *pod_path(const struct local *g, struct arena *a, struct str id, const char *name)
{
    return arena_fmt(a, "%s/pods/%.*s%s%s", g->run, STR_ARG(id), *name ? "/" : "", name).p;
}

const char *container_path(const struct local *g, struct arena *a, struct str id, const char *name)
{
    return arena_fmt(a, "%s/containers/%.*s%s%s", g->run, STR_ARG(id), *name ? "/" : "", name).p;
}

static int encode(enum record_kind kind, struct str id, const void *record, struct buf *b,
                  struct err *e)
{
    desc_encode_json(kinds[kind].desc, record, b);
    buf_c(b, '\n');
    if (b->failed)
        return err_set(e, ERR_LIMIT, "the record of %.*s is too large", STR_ARG(id));
    return 0;
}

static int write_to(const char *path, enum record_kind kind, struct str id, const void *record,
                    struct err *e)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(RECORD_BYTES_MAX);
    int r = encode(kind, id, record, &b, e);
    return r < 0 ? r : file_write(AT_FDCWD, path, buf_view(&b), 0600, FILE_FAST, e);
}

int record_write(const char *root, enum record_kind kind, struct str id, const void *record,
                 struct err *e)
{
    CLEANUP(free_ptr)
    char *path = xasprintf("%s/run/%s/%.*s/record.json", root, kinds[kind].folder, STR_ARG(id));
    return write_to(path, kind, id, record, e);
}

static char *history_path(const char *root, enum record_kind kind, struct str id)
{
    return xasprintf("%s/history/%s/%.*s", root, kinds[kind].folder, STR_ARG(id));
}

int record_remember(const char *root, enum record_kind kind, struct str id, const void *record,
                    struct err *e)
{
    CLEANUP(free_ptr) char *path = history_path(root, kind, id);
    return write_to(path, kind, id, record, e);
}

void record_forget(const char *root, enum record_kind kind, struct str id)
{
    CLEANUP(free_ptr) char *path = history_path(root, kind, id);
    unlink(path);
}

static int read_from(const char *path, enum record_kind kind, struct arena *a, void *record,
                     struct err *e)
{
    struct arena scratch;
    struct str text;
    const struct desc *d = kinds[kind].desc;
    arena_init(&scratch, RECORD_ARENA_MAX);
    int r = file_read(&scratch, AT_FDCWD, path, RECORD_BYTES_MAX, &text, e);
    void *decoded = arena_alloc(&scratch, d->size);
    if (r == 0)
        r = desc_decode_json(d, text, &scratch, decoded, NULL, e);
    if (r == 0)
        desc_copy_into(d, a, record, decoded);
    arena_fini(&scratch);
    return r;
}

int record_read(const char *root, enum record_kind kind, const char *id, struct arena *a,
                void *record, struct err *e)
{
    CLEANUP(free_ptr)
    char *path = xasprintf("%s/run/%s/%s/record.json", root, kinds[kind].folder, id);
    return read_from(path, kind, a, record, e);
}

int record_recall(const char *root, enum record_kind kind, const char *id, struct arena *a,
                  void *record, struct err *e)
{
    CLEANUP(free_ptr) char *path = history_path(root, kind, str_z(id));
    return read_from(path, kind, a, record, e);
}

/* ---- after a restart of the machine ---- */

struct restoring {
    const char *root;
    enum record_kind kind;
};

static int restore_one(void *arg, int dir, const char *id)
{
    const struct restoring *r = arg;
    struct arena a;
    arena_init(&a, RECORD_ARENA_MAX);
    struct err e = ERR_INIT(&a);
    struct str text;
    const char *to = arena_fmt(&a, "%s/run/%s/%s", r->root, kinds[r->kind].folder, id).p;
    if (strlen(id) == ID_LEN && file_read(&a, dir, id, RECORD_BYTES_MAX, &text, &e) == 0 &&
        dir_make(to, 0711, &e) == 0)
        (void)!file_write(AT_FDCWD, arena_fmt(&a, "%s/record.json", to).p, text, 0600, FILE_FAST,
                          &e);
    arena_fini(&a);
    return 0;
}

int records_restore(const char *root, struct err *e)
{
    for (unsigned kind = 0; kind < ARRAY_LEN(kinds); kind++) {
        struct restoring restoring = {root, kind};
        CLEANUP(free_ptr) char *history = xasprintf("%s/history/%s", root, kinds[kind].folder);
        CLEANUP(free_ptr) char *run = xasprintf("%s/run/%s", root, kinds[kind].folder);
        int r = dir_make(history, 0700, e);
        if (r == 0)
            r = dir_make(run, 0711, e);
        if (r == 0)
            r = dir_each(AT_FDCWD, history, restore_one, &restoring, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- processes ---- */

int pid_file_read(const char *path)
{
    char text[32];
    size_t n;
    int32_t pid;
    if (!file_read_small(AT_FDCWD, path, text, sizeof text, &n) ||
        !str_to_i32(str_trim(str_n(text, n)), &pid) || pid <= 1)
        return 0;
    return pid;
}

bool process_is_ours(int pid, struct str id)
{
    char path[64], text[4096];
    size_t n;
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    return pid > 1 && file_read_small(AT_FDCWD, path, text, sizeof text, &n) &&
           str_find(str_n(text, n), id) >= 0;
}

static int kill_if_ours(void *arg, int dir, const char *name)
{
    const struct str *id = arg;
    int32_t pid;
    if (str_to_i32(str_z(name), &pid) && pid != getpid() && process_is_ours(pid, *id))
        kill(pid, SIGKILL);
    return 0;
}

void processes_kill(struct str id)
{
    struct arena a = ARENA_INIT;
    struct err ignored = ERR_INIT(&a);
    (void)!dir_each(AT_FDCWD, "/proc", kill_if_ours, &id, &ignored);
    arena_fini(&a);
}
