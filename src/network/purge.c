/* SPDX-License-Identifier: Apache-2.0 */
/* Undoing everything from the records, whoever made it and however that one died. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "network/host.h"
#include "network/netns.h"
#include "network/sysctl.h"

struct purge {
    char *dir;
    char bridge[IFNAMSIZ];
    char mark[LINK_ALIAS_MAX];
    struct record_host record;
    struct record_pods pods;
    struct link_list links;
    struct err *e;
    int error; /* the first */
};

/* Only the first failure is told, but everything is tried. */
static void note(struct purge *p, int error)
{
    if (error < 0 && !p->error)
        p->error = error;
}

/* A place for the errors that come after the first. */
static struct err *slot(struct purge *p, struct err *other)
{
    return p->error ? other : p->e;
}

/* ---- pins ---- */

static void unpin_all(struct purge *p)
{
    CLEANUP(free_ptr) char *folder = xasprintf("%s/netns", p->dir);
    DIR *d = opendir(folder);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        CLEANUP(free_ptr) char *pin = record_pin_path(p->dir, entry->d_name);
        if (record_id_valid(str_z(entry->d_name)))
            netns_unpin(pin);
    }
    if (d)
        closedir(d);
}

/* ---- links ---- */

static bool recorded(const struct purge *p, const char *link)
{
    for (size_t i = 0; i < p->pods.v.n; i++) {
        char name[IFNAMSIZ];
        if (p->pods.v.v[i].offset > IPAM_OFFSET_MAX)
            continue;
        plan_link(p->record.name, p->pods.v.v[i].offset, name);
        if (strcmp(name, link) == 0)
            return true;
    }
    return false;
}

/* Our bridge, its ports that are pods', and pods whose bridge somebody took away. */
static bool is_ours(const struct purge *p, const struct link_info *l, int bridge)
{
    if (l->index == bridge)
        return true;
    bool pod = strcmp(l->kind, "veth") == 0 && plan_is_link(p->record.name, l->name);
    return pod && ((bridge && l->master == bridge) || recorded(p, l->name));
}

static int our_bridge(const struct purge *p)
{
    for (size_t i = 0; i < p->links.v.n; i++) {
        const struct link_info *l = &p->links.v.v[i];
        if (strcmp(l->name, p->bridge) == 0 && host_mark_is(l, p->mark))
            return l->index;
    }
    return 0;
}

static int remove_links(struct purge *p, int fd, struct err *e)
{
    int bridge = our_bridge(p);
    VEC(int) ours = {0};
    for (size_t i = 0; i < p->links.v.n; i++)
        if (is_ours(p, &p->links.v.v[i], bridge))
            vec_push(&ours, p->links.v.v[i].index);
    int error = link_remove_all(fd, ours.v, ours.n, e);
    vec_free(&ours);
    return error;
}

/* ---- the whole ---- */

/* The switch stays as it is while another cluster's pods need it: that one's record has the
 * original value too. */
static bool another_cluster(const struct purge *p)
{
    for (size_t i = 0; i < p->links.v.n; i++)
        if (host_mark_is_any(&p->links.v.v[i]) && !host_mark_is(&p->links.v.v[i], p->mark))
            return true;
    return false;
}

static void load_pods(struct purge *p, struct err *e)
{
    for (int stage = 0; stage < RECORD_STAGES; stage++) {
        struct record_pods some;
        if (record_pods_load(p->dir, stage, &some, e))
            continue;
        for (size_t i = 0; i < some.v.n; i++)
            vec_push(&p->pods.v, some.v.v[i]);
        vec_free(&some.v);
    }
}

static void undo(struct purge *p)
{
    struct err other = ERR_INIT(p->e->arena);
    struct nft_config c = {0};
    char mark[NFT_COMMENT_MAX - 8];
    memcpy(c.table, p->record.name, sizeof p->record.name);
    CLEANUP(free_ptr) char *data_dir = strndup(p->dir, strlen(p->dir) - strlen("/network"));
    must(data_dir);
    plan_mark(data_dir, mark, sizeof mark);
    note(p, nft_destroy(c.table, str_z(mark), slot(p, &other)));
    load_pods(p, &other);
    unpin_all(p);
    CLEANUP(close_fd) int fd = nl_open(NETLINK_ROUTE, slot(p, &other));
    note(p, MIN(fd, 0));
    if (fd < 0)
        return;
    note(p, link_list(fd, &p->links, slot(p, &other)));
    note(p, remove_links(p, fd, slot(p, &other)));
    if (!another_cluster(p))
        note(p, sysctl_restore(&p->record, slot(p, &other)));
    if (!p->error)
        note(p, record_remove_all(p->dir, p->e));
}

int host_purge(const char *data_dir, struct err *e)
{
    struct purge p = {.dir = xasprintf("%s/network", data_dir), .e = e};
    int outcome = record_host_load(p.dir, &p.record, e);
    if (outcome == 1) { /* nothing was ever made; folders at most */
        p.error = record_remove_all(p.dir, e);
    } else if (outcome < 0) {
        p.error = outcome;
    } else {
        snprintf(p.bridge, sizeof p.bridge, "%s0", p.record.name);
        plan_mark(data_dir, p.mark, sizeof p.mark);
        undo(&p);
    }
    record_host_fini(&p.record);
    record_pods_free(&p.pods);
    link_list_free(&p.links);
    free(p.dir);
    return p.error;
}
