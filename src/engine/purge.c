/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Undoing everything that an engine ever made on its folder. Nothing is remembered but what lies
 * there: each pod's and container's folder was made before anything else of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "engine/files.h"
#include "engine/local.h"
#include "engine/snapshot.h"

enum { KILL_ROUNDS = 200, KILL_PAUSE_US = 10000 };

/* Every process whose command line names the folder's ids: conmon, the runtime, the helper. */
struct id_list {
    VEC(struct str) v;
};

struct purge {
    const char *root;
    struct cgroups cgroups;
    struct arena arena;
    struct map groups; /* cgroup paths to remove */
    struct err *e;
    struct id_list ids;
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

/* The current record, or the remembered one. */
static bool read_record(struct purge *p, enum record_kind kind, const char *id, void *record)
{
    struct err ignored = ERR_INIT(&p->arena);
    return strlen(id) == ID_LEN &&
           (record_read(p->root, kind, id, &p->arena, record, &ignored) == 0 ||
            record_recall(p->root, kind, id, &p->arena, record, &ignored) == 0);
}

static int note_container(void *arg, int dir, const char *name)
{
    struct purge *p = arg;
    struct enginev1_container_record r = {0};
    if (read_record(p, RECORD_CONTAINER, name, &r) && r.cgroup.n)
        map_put(&p->groups, r.cgroup, p);
    return note_id(&p->ids, dir, name);
}

static int note_sandbox(void *arg, int dir, const char *name)
{
    struct purge *p = arg;
    struct enginev1_sandbox_record r = {0};
    if (read_record(p, RECORD_POD, name, &r) && r.config &&
        (!r.config->linux_ || !r.config->linux_->cgroup_parent.n))
        map_put(&p->groups, r.cgroup_parent, p);
    return note_id(&p->ids, dir, name);
}

static void note_all(struct purge *p)
{
    static const struct {
        const char *folder;
        int (*note)(void *arg, int dir, const char *name);
    } sources[] = {
        {"run/containers", note_container},
        {"run/pods", note_sandbox},
        {"history/containers", note_container},
        {"history/pods", note_sandbox},
    };
    struct err ignored = ERR_INIT(&p->arena);
    struct str own;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        (void)!dir_each(AT_FDCWD, arena_fmt(&p->arena, "%s/%s", p->root, sources[i].folder).p,
                        sources[i].note, p, &ignored);
    const char *group = arena_fmt(&p->arena, "%s/cgroup", p->root).p;
    if (file_read(&p->arena, AT_FDCWD, group, 4096, &own, &ignored) == 0 && own.n > 1)
        map_put(&p->groups, own, p);
}

/* The supervisors die first, so that none starts anything any more; then the groups empty. */
static int kill_all(struct purge *p)
{
    for (int i = 0; i < KILL_ROUNDS; i++) {
        struct hunt h = {&p->ids, 0};
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
    static const char *const state[] = {"run", "snapshots", "history", "bin", "boot", "cgroup"};
    int r = mounts_undo(p->root, p->e);
    if (r >= 0 && with_images)
        return tree_remove(AT_FDCWD, p->root, p->e);
    for (size_t i = 0; i < ARRAY_LEN(state) && r >= 0; i++)
        r = tree_remove(AT_FDCWD, arena_fmt(&p->arena, "%s/%s", p->root, state[i]).p, p->e);
    return r < 0 ? r : 0;
}

static int begin(struct purge *p, const char *root, struct err *e)
{
    *p = (struct purge){.root = root, .e = e};
    arena_init(&p->arena, (size_t)RECORD_ARENA_MAX * 16);
    return cgroup_detect(&p->cgroups, e);
}

static void end(struct purge *p)
{
    LIST_EACH (id, &p->ids.v)
        free((void *)(uintptr_t)id->p);
    vec_free(&p->ids.v);
    map_fini(&p->groups);
    arena_fini(&p->arena);
}

static int kill_and_remove_groups(struct purge *p)
{
    note_all(p);
    int r = kill_all(p);
    return r == 0 ? remove_groups(p) : r;
}

int processes_purge(const char *root, struct err *e)
{
    struct purge p;
    int r = begin(&p, root, e);
    if (r == 0)
        r = kill_and_remove_groups(&p);
    end(&p);
    return r;
}

int engine_purge(const char *root, bool with_images, struct err *e)
{
    if (access(root, F_OK) < 0)
        return 0;
    CLEANUP(close_fd) int lock = -1;
    struct purge p;
    int r = engine_lock(root, &lock, e);
    if (r < 0)
        return r;
    r = begin(&p, root, e);
    if (r == 0)
        r = kill_and_remove_groups(&p);
    if (r == 0)
        r = remove_folders(&p, with_images);
    end(&p);
    return r;
}
