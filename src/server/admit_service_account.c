/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ServiceAccount: every pod has one, and finds a token of it at
 * /var/run/secrets/kubernetes.io/serviceaccount.
 */
#include "api/corev1.h"
#include "server/admit.h"
#include "server/impl.h"

enum { TOKEN_SECONDS = 3607 }; /* odd on purpose: tells that nobody asked for an hour */

#define TOKEN_PATH "/var/run/secrets/kubernetes.io/serviceaccount"

static const struct corev1_service_account *find_account(struct admission *a, struct str name)
{
    struct server *s = a->req->server;
    struct resource *res = resources_find(s, STR(""), STR("v1"), STR("serviceaccounts"));
    struct item *i = store_get_pending(s->store, resource_key(a->req->arena, res, a->ns, name));
    return i ? item_typed(i, &corev1_service_account_desc) : NULL;
}

static bool wants_token(const struct corev1_pod *pod, const struct corev1_service_account *sa)
{
    if (pod->spec.automount_service_account_token)
        return *pod->spec.automount_service_account_token;
    return !sa->automount_service_account_token || *sa->automount_service_account_token;
}

static bool has_token_mount(const struct corev1_container *c)
{
    LIST_EACH (m, &c->volume_mounts)
        if (str_eq(m->mount_path, STR(TOKEN_PATH)))
            return true;
    return false;
}

static struct str volume_name(struct admission *a)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    char tail[6] = {0};
    for (int i = 0; i < 5; i++)
        tail[i] = letters[loop_random_u64(a->req->server->loop) % (sizeof letters - 1)];
    return arena_fmt(a->req->arena, "kube-api-access-%s", tail);
}

/* A token, the cluster's CA and the namespace, as three files. */
static void add_volume(struct admission *a, struct corev1_pod *pod, struct str name)
{
    struct arena *m = a->req->arena;
    struct corev1_volume *v = list_add(m, &pod->spec.volumes);
    v->name = name;
    v->projected = arena_new(m, struct corev1_projected_volume_source);
    v->projected->default_mode = NEW_VALUE(m, int32_t, 0644);

    struct corev1_volume_projection *p = list_add(m, &v->projected->sources);
    p->service_account_token = arena_new(m, struct corev1_service_account_token_projection);
    p->service_account_token->path = STR("token");
    p->service_account_token->expiration_seconds = NEW_VALUE(m, int64_t, TOKEN_SECONDS);

    p = list_add(m, &v->projected->sources);
    p->config_map = arena_new(m, struct corev1_config_map_projection);
    p->config_map->name = STR("kube-root-ca.crt");
    struct corev1_key_to_path *k = list_add(m, &p->config_map->items);
    k->key = STR("ca.crt");
    k->path = STR("ca.crt");

    p = list_add(m, &v->projected->sources);
    p->downward_api = arena_new(m, struct corev1_downward_api_projection);
    struct corev1_downward_api_volume_file *f = list_add(m, &p->downward_api->items);
    f->path = STR("namespace");
    f->field_ref = arena_new(m, struct corev1_object_field_selector);
    f->field_ref->api_version = STR("v1");
    f->field_ref->field_path = STR("metadata.namespace");
}

static void mount(struct admission *a, struct corev1_container *c, struct str name)
{
    struct corev1_volume_mount *m = list_add(a->req->arena, &c->volume_mounts);
    m->name = name;
    m->read_only = true;
    m->mount_path = STR(TOKEN_PATH);
}

static void mount_token(struct admission *a, struct corev1_pod *pod)
{
    bool needed = false;
    LIST_EACH (c, &pod->spec.containers)
        needed |= !has_token_mount(c);
    LIST_EACH (c, &pod->spec.init_containers)
        needed |= !has_token_mount(c);
    if (!needed)
        return;
    struct str name = volume_name(a);
    LIST_EACH (c, &pod->spec.init_containers)
        if (!has_token_mount(c))
            mount(a, c, name);
    LIST_EACH (c, &pod->spec.containers)
        if (!has_token_mount(c))
            mount(a, c, name);
    add_volume(a, pod, name);
}

static int complete_pod(struct admission *a)
{
    struct corev1_pod *pod = a->obj->typed;
    struct arena *m = a->req->arena;
    /* Mirror pods are the node's word for what runs from its own files. */
    if (str_map_has(&pod->metadata.annotations, STR("kubernetes.io/config.mirror")))
        return 0;
    if (!pod->spec.service_account_name.n)
        pod->spec.service_account_name = STR("default");
    pod->spec.service_account = pod->spec.service_account_name;
    const struct corev1_service_account *sa = find_account(a, pod->spec.service_account_name);
    if (!sa)
        return err_forbidden(&a->req->err, a->res, pod->metadata.name,
                             "error looking up service account %s/%s: serviceaccount \"%s\" not "
                             "found",
                             arena_z(m, a->ns), arena_z(m, pod->spec.service_account_name),
                             arena_z(m, pod->spec.service_account_name));
    if (!pod->spec.image_pull_secrets.n)
        LIST_EACH (s, &sa->image_pull_secrets)
            list_add(m, &pod->spec.image_pull_secrets)->name = arena_str(m, s->name);
    if (wants_token(pod, sa))
        mount_token(a, pod);
    return 0;
}

const struct admission_plugin admit_service_account = {
    .name = "ServiceAccount",
    .operations = 1u << OP_CREATE,
    .group = "",
    .plural = "pods",
    .mutate = complete_pod,
};
