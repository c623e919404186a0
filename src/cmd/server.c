/* SPDX-License-Identifier: Apache-2.0 */
/* barque server: the API server, controllers and scheduler of a cluster, unprivileged. */
#include "server/server.h"

#include <signal.h>

#include "base/log.h"
#include "cmd/cmd.h"
#include "controller/controller.h"
#include "http/http.h"
#include "sched/sched.h"
#include "server/front.h"

struct process {
    struct arena arena;
    struct cluster c;
    struct loop *loop;
    struct store *store;
    struct server *server;
    struct tls_context *tls, *kubelet_tls, *proxy_tls;
    struct http_server *http;
    struct client *sched_client, *manager_client;
    struct sched *sched;
    struct manager *manager;
    struct signal_watch term, intr;
    bool ending;
};

static int read_pki(struct process *p, const char *name, struct str *ret, struct err *e)
{
    return file_read(
        &p->arena, cluster_path(&p->arena, &p->c, arena_fmt(&p->arena, "pki/%s", name).p), ret, e);
}

static int open_tls(struct process *p, struct err *e)
{
    struct tls_config server = {.http2 = true}, client = {0};
    struct str ca;
    int rc;
    if ((rc = read_pki(p, "ca.crt", &ca, e)) < 0 ||
        (rc = read_pki(p, "apiserver.crt", &server.cert_pem, e)) < 0 ||
        (rc = read_pki(p, "apiserver.key", &server.key_pem, e)) < 0 ||
        (rc = read_pki(p, "apiserver-kubelet-client.crt", &client.cert_pem, e)) < 0 ||
        (rc = read_pki(p, "apiserver-kubelet-client.key", &client.key_pem, e)) < 0)
        return rc;
    server.client_ca_pem = ca;
    client.server_ca_pem = ca;
    p->tls = tls_context_new(&server, true, e);
    p->kubelet_tls = p->tls ? tls_context_new(&client, false, e) : NULL;
    struct tls_config any = {.insecure_skip_verify = true};
    p->proxy_tls = p->kubelet_tls ? tls_context_new(&any, false, e) : NULL;
    return p->proxy_tls ? 0 : -(int)e->code;
}

static int open_server(struct process *p, struct err *e)
{
    struct store_config sc = {.path = cluster_path(&p->arena, &p->c, "server/store.db")};
    int rc = store_open(p->loop, &sc, &p->store, e);
    if (rc < 0)
        return rc;
    struct server_config c = {
        .store = p->store,
        .cluster_domain = str_z(p->c.domain),
        .service_cidr = str_z(p->c.service_cidr),
        .pod_cidr = str_z(p->c.pod_cidr),
        .node_ports = str_z(p->c.node_ports),
        .advertise_address = str_z(p->c.node_ip),
        .advertise_port = (uint16_t)p->c.port,
        .issuer = arena_fmt(&p->arena, "https://kubernetes.default.svc.%s", p->c.domain),
        .kubelet_tls = p->kubelet_tls,
        .proxy_tls = p->proxy_tls,
        .anonymous = true,
    };
    if ((rc = read_pki(p, "sa.key", &c.sa_key_pem, e)) < 0 ||
        (rc = read_pki(p, "ca.crt", &c.ca_pem, e)) < 0)
        return rc;
    return server_new(p->loop, &c, &p->server, e);
}

/* The user of a control loop inside this process. */
static struct client *own_client(struct process *p, const char *user)
{
    struct str masters = STR("system:masters");
    struct client_user u = {.name = str_z(user), .groups = {&masters, 1}};
    return client_in_process(p->server, &u);
}

static void start_scheduler(struct process *p)
{
    p->sched_client = own_client(p, "system:kube-scheduler");
    struct sched_config c = {.client = p->sched_client, .name = STR("default-scheduler")};
    p->sched = sched_new(&c);
}

static int start_controllers(struct process *p, struct err *e)
{
    p->manager_client = own_client(p, "system:kube-controller-manager");
    struct manager_config c = {.client = p->manager_client};
    int rc = read_pki(p, "ca.crt", &c.ca_pem, e);
    if (rc == 0)
        p->manager = manager_new(&c, controllers_all, controllers_all_count);
    return rc;
}

static int listen_http(struct process *p, struct err *e)
{
    struct str address =
        arena_fmt(&p->arena, "tcp:%s:%lld", p->c.bind_address, (long long)p->c.port);
    p->http = http_server_new(p->loop, address, p->tls, &http_limits_default, &front_handler,
                              p->server, e);
    return p->http ? 0 : -(int)e->code;
}

static void closed(void *arg)
{
    struct process *p = arg;
    loop_stop(p->loop);
}

static void end(struct process *p)
{
    if (p->ending)
        return;
    p->ending = true;
    log_info("server", "ending");
    http_server_close(p->http, 1000, closed, p);
}

static void on_term(struct signal_watch *w)
{
    end(CONTAINER_OF(w, struct process, term));
}

static void on_intr(struct signal_watch *w)
{
    end(CONTAINER_OF(w, struct process, intr));
}

static void watch_signals(struct process *p)
{
    signal_watch_start(p->loop, &p->term, SIGTERM, on_term);
    signal_watch_start(p->loop, &p->intr, SIGINT, on_intr);
    signal(SIGPIPE, SIG_IGN);
}

static void close_all(struct process *p)
{
    signal_watch_stop(&p->term);
    signal_watch_stop(&p->intr);
    sched_free(p->sched);
    client_free(p->sched_client);
    manager_free(p->manager);
    client_free(p->manager_client);
    server_free(p->server);
    store_close(p->store);
    loop_run(p->loop); /* until what was closed is gone */
    tls_context_free(p->tls);
    tls_context_free(p->kubelet_tls);
    tls_context_free(p->proxy_tls);
    loop_free(p->loop);
    arena_fini(&p->arena);
}

static int run(int argc, char **argv)
{
    struct process p = {.arena = ARENA_INIT};
    struct err e = ERR_INIT(&p.arena);
    const char *dir = CLUSTER_DIR_DEFAULT, *level = "info";
    const struct flag flags[] = {{.name = "data-dir", .text = &dir},
                                 {.name = "log-level", .text = &level}};
    enum log_level threshold;
    if (!flags_parse(&command_server, &argc, argv, flags, ARRAY_LEN(flags)))
        return 2;
    if (log_level_parse(level, &threshold))
        log_threshold(threshold);
    if (cluster_load(&p.arena, dir, &p.c, &e) < 0)
        return complain(&e, "`barque up` makes one");
    p.loop = loop_new(&e);
    if (!p.loop || open_tls(&p, &e) < 0 || open_server(&p, &e) < 0 || listen_http(&p, &e) < 0 ||
        start_controllers(&p, &e) < 0)
        return complain(&e, NULL);
    start_scheduler(&p);
    watch_signals(&p);
    log_info("server", "serving on https://%s:%lld", p.c.bind_address, (long long)p.c.port);
    loop_run(p.loop);
    close_all(&p);
    return 0;
}

const struct command command_server = {
    .name = "server",
    .summary = "run the API server, controllers and scheduler (started by `up`)",
    .help = "Usage: barque server [--data-dir DIR] [--log-level debug|info|warn|error]\n",
    .run = run,
};
