/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine writes down, and small facts about processes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "engine/files.h"
#include "engine/local.h"

const char *pod_path(const struct local *g, struct arena *a, struct str id, const char *name)
{
    return arena_fmt(a, "%s/pods/%.*s%s%s", g->root, STR_ARG(id), *name ? "/" : "", name).p;
}

const char *container_path(const struct local *g, struct arena *a, struct str id, const char *name)
{
    return arena_fmt(a, "%s/containers/%.*s%s%s", g->root, STR_ARG(id), *name ? "/" : "", name).p;
}

int record_write(const char *root, const char *dir, const struct desc *d, struct str id,
                 const void *record, struct err *e)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(RECORD_BYTES_MAX);
    CLEANUP(free_ptr) char *path = xasprintf("%s/%s/%.*s/record.json", root, dir, STR_ARG(id));
    desc_encode_json(d, record, &b);
    buf_c(&b, '\n');
    if (b.failed)
        return err_set(e, ERR_LIMIT, "the record of %.*s is too large", STR_ARG(id));
    return file_write(AT_FDCWD, path, buf_view(&b), 0600, FILE_FAST, e);
}

int record_read(const char *root, const char *dir, const struct desc *d, const char *id,
                struct arena *a, void *record, struct err *e)
{
    struct arena scratch;
    struct str text;
    arena_init(&scratch, RECORD_ARENA_MAX);
    CLEANUP(free_ptr) char *path = xasprintf("%s/%s/%s/record.json", root, dir, id);
    int r = file_read(&scratch, AT_FDCWD, path, RECORD_BYTES_MAX, &text, e);
    void *decoded = arena_alloc(&scratch, d->size);
    if (r == 0)
        r = desc_decode_json(d, text, &scratch, decoded, NULL, e);
    if (r == 0)
        desc_copy_into(d, a, record, decoded);
    arena_fini(&scratch);
    return r;
}

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
