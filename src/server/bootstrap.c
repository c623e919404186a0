/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every cluster has from its first moment: system namespaces, bootstrap roles, the system
 * priority classes and the kubernetes Service. Written only where it is missing, so that changes
 * by users stay.
 */
#include "server/bootstrap.h"

#include "api/corev1.h"
#include "api/discoveryv1.h"
#include "base/log.h"
#include "codec/yaml.h"
#include "server/alloc.h"
#include "server/impl.h"

/* Objects as YAML, completed (uid, creationTimestamp, defaults) on the way in. */
static const char manifests[] =
#include "server/bootstrap_manifests.inc"
    "---\n"
#include "server/rbac_manifests.inc"
    ;

struct boot {
    struct server *s;
    struct arena arena;
};

static void boot_stored(void *arg, int outcome, struct item *item, rev_t rev)
{
    /* A failed write shows as the missing object; the next start writes it again. */
    if (outcome < 0)
        log_warn("server", "a bootstrap object could not be stored");
}

static void put_object(struct boot *b, struct object *o)
{
    struct server *s = b->s;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB(1));
    struct put put = {.key = resource_key(&b->arena, o->res, o->meta->namespace, o->meta->name)};
    struct item *now;
    if (store_get_pending(s->store, put.key))
        return;
    object_defaults(&b->arena, o);
    o->meta->uid = make_uid(s, &b->arena);
    o->meta->creation_timestamp = loop_wall(s->loop);
    o->meta->creation_timestamp.ns = 0;
    object_encode(o, &text, &put.splice_at);
    put.value = buf_view(&text);
    must(store_write(s->store, &put, 1, &now, boot_stored, NULL) == 0);
}

static void put_json(struct boot *b, struct json *doc)
{
    struct err e = ERR_INIT(&b->arena);
    struct str group, version;
    struct object *o;
    must(api_version_split(json_str(json_getz(doc, "apiVersion")), &group, &version));
    struct resource *res =
        resources_find_kind(b->s, group, version, json_str(json_getz(doc, "kind")));
    must(res != NULL);
    if (object_decode(res, json_text(&b->arena, doc), &b->arena, &o, NULL, &e) < 0)
        never("a bootstrap manifest does not decode");
    put_object(b, o);
}

static void put_manifests(struct boot *b)
{
    struct err e = ERR_INIT(&b->arena);
    struct json **docs;
    size_t n;
    if (yaml_parse_all(&b->arena, STR("bootstrap"), str_z(manifests), &docs, &n, &e) < 0)
        never("the bootstrap manifests do not parse");
    for (size_t i = 0; i < n; i++)
        put_json(b, docs[i]);
}

/* The API itself as a Service: its first address leads to where the server listens. */
static void put_kubernetes_service(struct boot *b)
{
    struct arena *a = &b->arena;
    struct server *s = b->s;
    struct resource *res = resources_find(s, STR(""), STR("v1"), STR("services"));
    struct object *o = object_new(res, a);
    struct corev1_service *svc = o->typed;
    o->meta->name = STR("kubernetes");
    o->meta->namespace = STR("default");
    str_map_set(a, &o->meta->labels, STR("component"), STR("apiserver"));
    str_map_set(a, &o->meta->labels, STR("provider"), STR("kubernetes"));
    svc->spec.cluster_ip = alloc_first_ip(s->alloc, a);
    str_list_push(a, &svc->spec.cluster_ips, svc->spec.cluster_ip);
    str_list_push(a, &svc->spec.ip_families, STR("IPv4"));
    svc->spec.ip_family_policy = STR("SingleStack");
    svc->spec.type = STR("ClusterIP");
    svc->spec.session_affinity = STR("None");
    struct corev1_service_port *p = list_add(a, &svc->spec.ports);
    p->name = STR("https");
    p->protocol = STR("TCP");
    p->port = 443;
    p->target_port = intstr_int(s->config.advertise_port);
    put_object(b, o);
}

/* Endpoints follow the configuration, which may have changed since the last start. */
static void put_kubernetes_endpoints(struct boot *b)
{
    struct arena *a = &b->arena;
    struct server *s = b->s;
    struct resource *res =
        resources_find(s, STR("discovery.k8s.io"), STR("v1"), STR("endpointslices"));
    struct object *o = object_new(res, a);
    struct discoveryv1_endpoint_slice *es = o->typed;
    o->meta->name = STR("kubernetes");
    o->meta->namespace = STR("default");
    str_map_set(a, &o->meta->labels, STR("kubernetes.io/service-name"), STR("kubernetes"));
    es->address_type = STR("IPv4");
    struct discoveryv1_endpoint *ep = list_add(a, &es->endpoints);
    str_list_push(a, &ep->addresses, s->config.advertise_address);
    ep->conditions.ready = NEW_VALUE(a, bool, true);
    struct discoveryv1_endpoint_port *p = list_add(a, &es->ports);
    p->name = STR("https");
    p->protocol = STR("TCP");
    p->port = NEW_VALUE(a, int32_t, s->config.advertise_port);
    struct str key = resource_key(a, res, o->meta->namespace, o->meta->name);
    struct item *old = store_get_pending(s->store, key);
    if (old) {
        const struct discoveryv1_endpoint_slice *have = item_typed(old, res->desc);
        bool same = have->endpoints.n == 1 && have->ports.n == 1 && have->ports.v[0].port &&
                    have->endpoints.v[0].addresses.n == 1 &&
                    *have->ports.v[0].port == s->config.advertise_port &&
                    str_eq(have->endpoints.v[0].addresses.v[0], s->config.advertise_address);
        if (same)
            return;
        struct put del = {.key = key, .expect_mod_rev = -1, .flags = STORE_DELETE};
        struct item *now;
        must(store_write(s->store, &del, 1, &now, boot_stored, NULL) == 0);
    }
    put_object(b, o);
}

void bootstrap(struct server *s)
{
    struct boot b = {.s = s, .arena = ARENA_INIT};
    put_manifests(&b);
    put_kubernetes_service(&b);
    put_kubernetes_endpoints(&b);
    arena_fini(&b.arena);
}
