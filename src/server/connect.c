/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec, attach, port-forward and logs: handed through to the agent of the pod's node, which speaks
 * the kubelet's API. Bytes of an upgraded connection pass through untouched, so that every protocol
 * that client and agent agree on works.
 */
#include "api/corev1.h"
#include "server/impl.h"
#include "server/subresource.h"

enum { CONNECT_QUEUE_BYTES_MAX = 256 << 10, LOG_TIMEOUT_MS = 0 };

struct relay {
    struct request *r; /* NULL once the client's side is over */
    struct http_client *client;
    struct http_call *call;
    struct http_raw *down, *up; /* to the client, to the agent */
    struct task cleanup;
    struct loop *loop;
    bool started; /* the plain answer's head has left */
};

static void relay_free(struct task *t)
{
    struct relay *y = CONTAINER_OF(t, struct relay, cleanup);
    http_client_free(y->client);
    free(y);
}

/* Everything is over; memory goes when the present callback has returned. */
static void relay_end(struct relay *y)
{
    loop_defer(y->loop, &y->cleanup, relay_free);
}

/* ---- raw bytes, both ways ---- */

static void down_data(void *arg, struct str bytes)
{
    struct relay *y = arg;
    if (y->up && http_raw_write(y->up, bytes) > CONNECT_QUEUE_BYTES_MAX)
        http_raw_pause(y->down, true);
}

static void up_data(void *arg, struct str bytes)
{
    struct relay *y = arg;
    if (y->down && http_raw_write(y->down, bytes) > CONNECT_QUEUE_BYTES_MAX)
        http_raw_pause(y->up, true);
}

static void either_end(void *arg)
{
    struct relay *y = arg;
    if (y->down)
        http_raw_close(y->down);
    if (y->up)
        http_raw_close(y->up);
    if (y->down || y->up)
        relay_end(y);
    y->down = y->up = NULL;
}

static void down_drained(void *arg)
{
    struct relay *y = arg;
    if (y->up)
        http_raw_pause(y->up, false);
}

static void up_drained(void *arg)
{
    struct relay *y = arg;
    if (y->down)
        http_raw_pause(y->down, false);
}

static const struct http_raw_ops down_ops = {down_data, either_end, down_drained};
static const struct http_raw_ops up_ops = {up_data, either_end, up_drained};

static void upgraded(void *arg, int status, const struct http_headers *headers,
                     struct http_raw *raw)
{
    struct relay *y = arg;
    struct request *r = y->r;
    y->up = raw;
    y->call = NULL;
    if (!r || r->aborted) {
        http_raw_close(raw);
        relay_end(y);
        return;
    }
    r->on_abort = NULL;
    y->down = http_hijack(r->exchange, status, headers, &down_ops, y);
    y->r = NULL;
    request_free(r);
}

/* ---- a plain answer (logs, or a refusal of the upgrade) ---- */

static void head(void *arg, int status, const struct http_headers *headers)
{
    struct relay *y = arg;
    struct http_headers none = {0};
    struct str type = http_header_get(headers, "content-type");
    y->started = true;
    y->r->responded = true;
    y->r->responder->start(y->r, status, type.n ? type : STR("text/plain"), &none);
}

static void data(void *arg, struct str bytes)
{
    struct relay *y = arg;
    if (y->r->responder->write(y->r, &bytes, 1) > CONNECT_QUEUE_BYTES_MAX)
        http_call_pause(y->call, true);
}

static void done(void *arg, const struct err *error)
{
    struct relay *y = arg;
    struct request *r = y->r;
    y->call = NULL;
    y->r = NULL;
    r->on_abort = NULL;
    r->on_drained = NULL;
    if (y->started && error) {
        http_reset(r->exchange);
        request_free(r);
    } else if (y->started) {
        r->responder->end(r);
    } else
        respond_errorf(r, ERR_INTERNAL, "error dialing backend: %.*s",
                       STR_ARG(error ? error->message : STR("no answer")));
    relay_end(y);
}

static const struct http_call_ops call_ops = {head, data, done};

static void client_gone(struct request *r)
{
    struct relay *y = r->stage;
    if (y->call)
        http_call_cancel(y->call);
    y->call = NULL;
    y->r = NULL;
    request_free(r);
    relay_end(y);
}

static void client_drained(struct request *r)
{
    struct relay *y = r->stage;
    if (y->call)
        http_call_pause(y->call, false);
}

/* ---- where the agent is ---- */

static int find_agent(struct request *r, const struct corev1_pod *pod, struct str *ret_address)
{
    struct resource *nodes = resources_find(r->server, STR(""), STR("v1"), STR("nodes"));
    struct item *i =
        store_get(r->server->store, resource_key(r->arena, nodes, STR(""), pod->spec.node_name));
    if (!pod->spec.node_name.n)
        return err_set(&r->err, ERR_BAD_REQUEST, "pod %.*s does not have a host assigned",
                       STR_ARG(pod->metadata.name));
    if (!i)
        return err_not_found(&r->err, nodes, pod->spec.node_name);
    const struct corev1_node *node = item_typed(i, &corev1_node_desc);
    int32_t port = node->status.daemon_endpoints.kubelet_endpoint.port;
    LIST_EACH (a, &node->status.addresses) {
        if (str_eq(a->type, STR("InternalIP"))) {
            *ret_address =
                arena_fmt(r->arena, "tcp:%.*s:%d", STR_ARG(a->address), port ? port : 10250);
            return 0;
        }
    }
    return err_set(&r->err, ERR_INTERNAL, "node \"%.*s\" has no InternalIP",
                   STR_ARG(pod->spec.node_name));
}

/* ---- which container ---- */

static bool has_container(const struct corev1_pod *pod, struct str name)
{
    LIST_EACH (c, &pod->spec.containers)
        if (str_eq(c->name, name))
            return true;
    LIST_EACH (c, &pod->spec.init_containers)
        if (str_eq(c->name, name))
            return true;
    LIST_EACH (c, &pod->spec.ephemeral_containers)
        if (str_eq(c->name, name))
            return true;
    return false;
}

static int pick_container(struct request *r, const struct corev1_pod *pod, struct str *name)
{
    if (name->n) {
        if (has_container(pod, *name))
            return 0;
        return err_set(&r->err, ERR_BAD_REQUEST, "container %.*s is not valid for pod %.*s",
                       STR_ARG(*name), STR_ARG(pod->metadata.name));
    }
    struct str wanted =
        str_map_get(&pod->metadata.annotations, STR("kubectl.kubernetes.io/default-container"));
    if (wanted.n && has_container(pod, wanted)) {
        *name = wanted;
        return 0;
    }
    if (pod->spec.containers.n == 1) {
        *name = pod->spec.containers.v[0].name;
        return 0;
    }
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(16));
    LIST_EACH (c, &pod->spec.containers)
        buf_fmt(&b, "%s%.*s", b.n ? " " : "", STR_ARG(c->name));
    return err_set(&r->err, ERR_BAD_REQUEST,
                   "a container name must be specified for pod %.*s, choose one of: [%.*s]",
                   STR_ARG(pod->metadata.name), STR_ARG(buf_view(&b)));
}

/* ---- the agent's path ---- */

/* Query parameters go on under the names the kubelet knows. */
static void put_query(struct request *r, struct buf *b, bool logs)
{
    static const char *const names[][2] = {
        {"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}, {"tty", "tty"}};
    struct str rest = r->query, key, value;
    while (request_param_next(r, &rest, &key, &value)) {
        if (str_eq(key, STR("container")))
            continue;
        for (size_t i = 0; !logs && i < ARRAY_LEN(names); i++) {
            bool on;
            if (str_eqz(key, names[i][0])) {
                key = str_z(names[i][1]);
                value = str_to_bool(value, &on) && on ? STR("1") : STR("0");
                break;
            }
        }
        if (b->p[b->n - 1] != '?')
            buf_c(b, '&');
        http_url_encode(b, key);
        buf_c(b, '=');
        http_url_encode(b, value);
    }
}

static int agent_target(struct request *r, const struct corev1_pod *pod, struct str *ret)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    bool logs = str_eq(r->subresource, STR("log"));
    bool forward = str_eq(r->subresource, STR("portforward"));
    struct str container = STR(""), rest = r->query, key, value;
    while (request_param_next(r, &rest, &key, &value))
        if (str_eq(key, STR("container")))
            container = value;
    int rc = forward ? 0 : pick_container(r, pod, &container);
    if (rc < 0)
        return rc;
    const char *verb = logs      ? "containerLogs"
                       : forward ? "portForward"
                                 : arena_z(r->arena, r->subresource);
    buf_fmt(&b, "/%s/%.*s/%.*s", verb, STR_ARG(r->ns), STR_ARG(r->name));
    if (!forward)
        buf_fmt(&b, "/%.*s", STR_ARG(container));
    buf_c(&b, '?');
    put_query(r, &b, logs);
    *ret = buf_to_arena(&b, r->arena);
    return b.failed ? err_set(&r->err, ERR_BAD_REQUEST, "the query is too long") : 0;
}

/* The headers that an upgrade is made of. */
static struct http_headers upgrade_headers(struct request *r)
{
    struct http_headers h = {0};
    for (size_t i = 0; i < r->headers->n; i++) {
        struct str name = r->headers->v[i].name;
        if (str_eq(name, STR("connection")) || str_eq(name, STR("upgrade")) ||
            str_has_prefix(name, STR("sec-websocket-")) ||
            str_eq(name, STR("x-stream-protocol-version")))
            http_header_add(r->arena, &h, name, r->headers->v[i].value);
    }
    return h;
}

void sub_connect(struct request *r)
{
    struct item *i = store_get(r->server->store, resource_key(r->arena, r->res, r->ns, r->name));
    struct str address, target;
    bool logs = str_eq(r->subresource, STR("log"));
    if (!i) {
        (void)err_not_found(&r->err, r->res, r->name);
        respond_error(r);
        return;
    }
    if (r->res->desc != &corev1_pod_desc || str_eq(r->subresource, STR("proxy"))) {
        respond_errorf(r, ERR_METHOD_NOT_ALLOWED, "proxying is not served yet");
        return;
    }
    const struct corev1_pod *pod = item_typed(i, &corev1_pod_desc);
    if (agent_target(r, pod, &target) < 0 || find_agent(r, pod, &address) < 0) {
        respond_error(r);
        return;
    }
    if (!logs && !http_header_has_token(r->headers, "connection", "upgrade")) {
        respond_errorf(r, ERR_BAD_REQUEST, "Upgrade request required");
        return;
    }
    struct relay *y = xcalloc(1, sizeof *y);
    struct http_client_config c = {
        .address = address, .host = STR("kubelet"), .tls = r->server->config.kubelet_tls};
    y->r = r;
    y->loop = r->server->loop;
    y->client = http_client_new(y->loop, &c);
    r->stage = y;
    r->on_abort = client_gone;
    r->on_drained = client_drained;
    if (logs) {
        struct http_headers none = {0};
        y->call =
            http_call(y->client, STR("GET"), target, &none, STR(""), LOG_TIMEOUT_MS, &call_ops, y);
        return;
    }
    struct http_headers h = upgrade_headers(r);
    y->call = http_call_upgrade(y->client, r->method, target, &h, &call_ops, upgraded, &up_ops, y);
}
