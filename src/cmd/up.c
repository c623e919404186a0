/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barque up: a whole cluster on this machine with one command. Settings and credentials are made
 * where they are missing, then a supervisor starts the server (unprivileged) and the agent (root).
 */
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cmd/cmd.h"
#include "cmd/supervise.h"

struct up_flags {
    const char *dir, *name, *pod_cidr, *service_cidr, *node_ports, *bind_address, *node_ip;
    int64_t port, agent_port;
    bool detach, no_agent;
};

static int make_folders(const struct cluster *c, struct err *e)
{
    static const struct {
        const char *name;
        mode_t mode;
        bool for_server;
    } folders[] = {{"", 0755, false},     {"pki", 0711, false}, {"server", 0700, true},
                   {"node", 0700, false}, {"run", 0755, false}, {"log", 0755, false}};
    struct arena a = ARENA_INIT;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(folders); i++) {
        const char *path = cluster_path(&a, c, folders[i].name);
        if (mkdir(path, folders[i].mode) < 0 && errno != EEXIST)
            rc = err_errno(e, errno, "%s", path);
        else if (folders[i].for_server && geteuid() == 0 &&
                 chown(path, (uid_t)c->uid, (gid_t)c->gid) < 0)
            rc = err_errno(e, errno, "%s", path);
    }
    arena_fini(&a);
    return rc;
}

/* The settings of the cluster in dir, or of a new one; flags go over both. */
static int settings(struct arena *a, const struct up_flags *f, struct cluster *c, struct err *e)
{
    int rc = cluster_load(a, f->dir, c, e);
    if (rc == -ERR_NOT_FOUND) {
        err_clear(e);
        cluster_defaults(a, f->dir, c);
    } else if (rc < 0) {
        return rc;
    }
    const struct {
        const char *flag;
        const char **setting;
    } texts[] = {{f->name, &c->name},
                 {f->pod_cidr, &c->pod_cidr},
                 {f->service_cidr, &c->service_cidr},
                 {f->node_ports, &c->node_ports},
                 {f->bind_address, &c->bind_address},
                 {f->node_ip, &c->node_ip}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].flag)
            *texts[i].setting = texts[i].flag;
    if (f->port)
        c->port = f->port;
    if (f->agent_port)
        c->agent_port = f->agent_port;
    return cluster_check(a, c, e);
}

static int prepare(struct arena *a, const struct up_flags *f, struct cluster *c, struct err *e)
{
    int rc;
    if ((rc = settings(a, f, c, e)) < 0 || (rc = make_folders(c, e)) < 0 ||
        (rc = cluster_save(c, e)) < 0)
        return rc;
    return cluster_credentials(c, e);
}

static const char *absolute(struct arena *a, const char *path)
{
    char here[4096];
    if (path[0] == '/' || !getcwd(here, sizeof here))
        return path;
    return arena_fmt(a, "%s/%s", here, path).p;
}

static int run(int argc, char **argv)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct up_flags f = {.dir = CLUSTER_DIR_DEFAULT};
    struct cluster c;
    const struct flag flags[] = {
        {.name = "data-dir", .text = &f.dir},
        {.name = "name", .text = &f.name},
        {.name = "pod-cidr", .text = &f.pod_cidr},
        {.name = "service-cidr", .text = &f.service_cidr},
        {.name = "node-ports", .text = &f.node_ports},
        {.name = "bind-address", .text = &f.bind_address},
        {.name = "node-ip", .text = &f.node_ip},
        {.name = "port", .number = &f.port, .min = 1, .max = 65535},
        {.name = "agent-port", .number = &f.agent_port, .min = 1, .max = 65535},
        {.name = "detach", .on = &f.detach},
        {.name = "no-agent", .on = &f.no_agent},
    };
    if (!flags_parse(&command_up, &argc, argv, flags, ARRAY_LEN(flags)))
        return 2;
    f.dir = absolute(&a, f.dir);
    if (geteuid() != 0 && !f.no_agent) {
        (void)err_set(&e, ERR_FORBIDDEN,
                      "`up` must run as root: pods need namespaces, mounts and cgroups");
        return complain(&e, "try: sudo barque up");
    }
    if (prepare(&a, &f, &c, &e) < 0)
        return complain(&e, NULL);
    int rc = supervise(&c, f.detach, !f.no_agent, &e);
    if (rc < 0)
        return complain(&e, arena_fmt(&a, "see %s/log/", c.dir).p);
    arena_fini(&a);
    return 0;
}

const struct command command_up = {
    .name = "up",
    .summary = "start a cluster on this machine",
    .help =
        "Usage: barque up [flags]\n\n"
        "  --detach              return when the node is Ready, leave the cluster running\n"
        "  --data-dir DIR        everything the cluster keeps (" CLUSTER_DIR_DEFAULT ")\n"
        "  --name NAME           prefix of bridge, nft table and cgroup; the node's name (barque)\n"
        "  --port N              of the API server (6443)\n"
        "  --agent-port N        of the node's API (10250, or --port + 1)\n"
        "  --pod-cidr CIDR       addresses of pods (10.244.0.0/24)\n"
        "  --service-cidr CIDR   addresses of services (10.96.0.0/16)\n"
        "  --node-ports LOW-HIGH ports of NodePort services (30000-32767)\n"
        "  --bind-address ADDR   where the API listens (0.0.0.0)\n"
        "  --node-ip ADDR        this machine's address (the first interface's)\n"
        "  --no-agent            API server, controllers and scheduler only; needs no root\n",
    .run = run,
};
