/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Undoing everything that an engine ever made on its folder. Nothing is remembered but what lies
 * there: each pod's and container's folder was made before anything else of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include "engine/files.h"
#include "engine/local.h"
#include "engine/snapshot.h"

enum { KILL_ROUNDS = 200, KILL_PAUSE_US = 10000 };

struct purge {
    const char *root;
    struct cgroups cgroups;
    struct arena arena;
    struct map groups; /* cgroup paths to remove */
    struct err *e;
    int left; /* processes signalled in this round */
};

/* Every process whose command line names the folder's ids: conmon, the runtime, the helper. */
struct id_list {
    VEC(struct str) v;
};

static int note_id(void *arg, int dir, const char *name)
{
    struct id_list *ids = arg;
    if (strlen(name) == ID_LEN) {
        struct str id = str_n(xstrdup(name), ID_LEN);
        vec_push(&ids->v, id);
    }
    return 0;
}

struct hunt {
    const struct id_list *ids;
    int found;
};

static int kill_owned(void *arg, int dir, const char *name)
{
    struct hunt *h = arg;
    int32_t pid;
    char path[64], text[8192];
    size_t n;
    if (!str_to_i32(str_z(name), &pid) || pid <= 1 || pid == getpid())
        return 0;
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    if (!file_read_small(AT_FDCWD, path, text, sizeof text, &n) || !n)
        return 0;
    LIST_EACH (id, &h->ids->v)
        if (str_find(str_n(text, n), *id) >= 0) {
            h->found += kill(pid, SIGKILL) == 0;
            break;
        }
    return 0;
}

static int note_container(void *arg, int dir, const char *name)
{
    struct purge *p = arg;
    struct enginev1_container_record r = {0};
    struct err ignored = ERR_INIT(&p->arena);
    if (strlen(name) == ID_LEN &&
        record_read(p->root, "containers", &enginev1_container_record_desc, name, &p->arena, &r,
                    &ignored) == 0 &&
        r.cgroup.n)
        map_put(&p->groups, r.cgroup, p);
    return 0;
}

static int note_sandbox(void *arg, int dir, const char *name)
{
    struct purge *p = arg;
    struct enginev1_sandbox_record r = {0};
    struct err ignored = ERR_INIT(&p->arena);
    if (strlen(name) == ID_LEN &&
        record_read(p->root, "pods", &enginev1_sandbox_record_desc, name, &p->arena, &r,
                    &ignored) == 0 &&
        r.config && (!r.config->linux_ || !r.config->linux_->cgroup_parent.n))
        map_put(&p->groups, r.cgroup_parent, p);
    return 0;
}

/* The supervisors die first, so that none starts anything any more; then the groups empty. */
static int kill_all(struct purge *p, const struct id_list *ids)
{
    for (int i = 0; i < KILL_ROUNDS; i++) {
        struct hunt h = {ids, 0};
        struct map_entry *entry;
        uint32_t it = 0;
        int r = dir_each(AT_FDCWD, "/proc", kill_owned, &h, p->e);
        if (r < 0)
            return r;
        while ((entry = map_next(&p->groups, &it)))
            h.found += cgroup_kill(&p->cgroups, arena_z(&p->arena, entry->key));
        if (!h.found)
            return 0;
        usleep(KILL_PAUSE_US);
    }
    return err_set(p->e, ERR_TIMEOUT, "processes of containers do not end after SIGKILL");
}

static int remove_groups(struct purge *p)
{
    struct map_entry *entry;
    uint32_t it = 0;
    while ((entry = map_next(&p->groups, &it))) {
        int r = cgroup_remove(&p->cgroups, arena_z(&p->arena, entry->key), p->e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int remove_folders(struct purge *p, bool with_images)
{
    static const char *const state[] = {"containers", "pods", "exits", "oci",
                                        "bin",        "boot", "cgroup"};
    int r = mounts_undo(p->root, p->e);
    if (r >= 0 && with_images)
        return tree_remove(AT_FDCWD, p->root, p->e);
    for (size_t i = 0; i < ARRAY_LEN(state) && r >= 0; i++)
        r = tree_remove(AT_FDCWD, arena_fmt(&p->arena, "%s/%s", p->root, state[i]).p, p->e);
    return r < 0 ? r : 0;
}

static int purge(struct purge *p, struct id_list *ids, bool with_images)
{
    const char *pods = arena_fmt(&p->arena, "%s/pods", p->root).p;
    const char *containers = arena_fmt(&p->arena, "%s/containers", p->root).p;
    struct err ignored = ERR_INIT(&p->arena);
    struct str own;
    (void)!dir_each(AT_FDCWD, containers, note_container, p, &ignored);
    (void)!dir_each(AT_FDCWD, pods, note_sandbox, p, &ignored);
    (void)!dir_each(AT_FDCWD, containers, note_id, ids, &ignored);
    (void)!dir_each(AT_FDCWD, pods, note_id, ids, &ignored);
    if (file_read(&p->arena, AT_FDCWD, arena_fmt(&p->arena, "%s/cgroup", p->root).p, 4096, &own,
                  &ignored) == 0 &&
        own.n > 1)
        map_put(&p->groups, own, p);
    int r = kill_all(p, ids);
    if (r == 0)
        r = remove_groups(p);
    return r == 0 ? remove_folders(p, with_images) : r;
}

static int lock_out_engines(const char *root, struct err *e)
{
    CLEANUP(free_ptr) char *path = xasprintf("%s/lock", root);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return fd;
    if (fd < 0)
        return err_errno(e, errno, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    close(fd);
    return err_set(e, ERR_CONFLICT, "an engine is running on %s", root);
}

int engine_purge(const char *root, bool with_images, struct err *e)
{
    if (access(root, F_OK) < 0)
        return 0;
    CLEANUP(close_fd) int lock = lock_out_engines(root, e);
    if (lock < 0 && e->code)
        return -(int)e->code;
    struct purge p = {.root = root, .e = e};
    struct id_list ids = {0};
    arena_init(&p.arena, (size_t)RECORD_ARENA_MAX * 16);
    int r = cgroup_detect(&p.cgroups, e);
    if (r == 0)
        r = purge(&p, &ids, with_images);
    LIST_EACH (id, &ids.v)
        free((void *)(uintptr_t)id->p);
    vec_free(&ids.v);
    map_fini(&p.groups);
    arena_fini(&p.arena);
    return r;
}
