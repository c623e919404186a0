/* SPDX-License-Identifier: Apache-2.0 */
/* How containers' ends become known: conmon writes exits/<id>, inotify tells. */
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "engine/files.h"
#include "engine/local.h"

static struct str exits_path(const struct local *g, struct arena *a, struct str id)
{
    return arena_fmt(a, "%s/exits/%.*s", g->run, STR_ARG(id));
}

bool exit_read(const struct local *g, struct str id, int32_t *ret_code, int64_t *ret_at_ns)
{
    struct arena a = ARENA_INIT;
    const char *path = exits_path(g, &a, id).p;
    struct stat st;
    char text[32];
    size_t n;
    bool ok = stat(path, &st) == 0 && file_read_small(AT_FDCWD, path, text, sizeof text, &n) &&
              str_to_i32(str_trim(str_n(text, n)), ret_code);
    if (ok)
        *ret_at_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    arena_fini(&a);
    return ok;
}

static void exit_named(struct local *g, const char *name)
{
    struct container *c = strlen(name) == ID_LEN ? map_get(&g->containers, str_z(name)) : NULL;
    if (c)
        container_exited(c);
}

/* Events were lost: ask for everybody. */
static void look_at_all(struct local *g)
{
    uint32_t it = 0;
    struct map_entry *entry;
    while ((entry = map_next(&g->containers, &it)))
        container_exited(entry->value);
}

static void readable(struct fd_watch *w, bool r, bool wr)
{
    struct local *g = CONTAINER_OF(w, struct local, exit_watch);
    char events[8192] __attribute__((aligned(8)));
    ssize_t n;
    while ((n = read(w->fd, events, sizeof events)) > 0) {
        for (char *at = events; at < events + n;) {
            struct inotify_event ev;
            memcpy(&ev, at, sizeof ev);
            if (ev.mask & IN_Q_OVERFLOW)
                look_at_all(g);
            else if (ev.len)
                exit_named(g, at + sizeof ev);
            at += sizeof ev + ev.len;
        }
    }
}

int exits_watch(struct local *g, struct err *e)
{
    CLEANUP(free_ptr) char *path = xasprintf("%s/exits", g->run);
    int r = dir_make(path, 0700, e);
    if (r < 0)
        return r;
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "start inotify");
    if (inotify_add_watch(fd, path, IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
        close(fd);
        return err_errno(e, errno, "watch %s", path);
    }
    fd_watch_start(g->loop, &g->exit_watch, fd, true, false, readable);
    return 0;
}

void exits_unwatch(struct local *g)
{
    int fd = g->exit_watch.fd;
    fd_watch_stop(&g->exit_watch);
    close(fd);
}
