/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec, attach, port-forward and logs of pods: handed through to the agent of the pod's node, which
 * speaks the kubelet's API.
 */
#include "api/corev1.h"
#include "server/impl.h"
#include "server/relay.h"
#include "server/subresource.h"

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
    const struct corev1_pod *pod = item_typed(i, &corev1_pod_desc);
    if (agent_target(r, pod, &target) < 0 || find_agent(r, pod, &address) < 0) {
        respond_error(r);
        return;
    }
    if (!logs && !http_header_has_token(r->headers, "connection", "upgrade")) {
        respond_errorf(r, ERR_BAD_REQUEST, "Upgrade request required");
        return;
    }
    struct relay_target t = {.address = address,
                             .host = STR("kubelet"),
                             .tls = r->server->config.kubelet_tls,
                             .path = target};
    relay_start(r, &t);
}
