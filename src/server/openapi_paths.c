/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and operations of resources. */
#include "server/openapi.h"

struct path_out {
    struct buf *b;
    struct arena *a;
    bool v3, first;
};

/* Verb, method, action as the extension names it, which parameters it takes. */
static const struct op {
    uint32_t verb;
    const char *method, *action, *word;
    const char *params; /* letters, see param_of */
    bool body, patch;
} collection_ops[] =
    {
        {VERB_LIST, "get", "list", "list", "lfcrmtwas", false, false},
        {VERB_CREATE, "post", "post", "create", "dgv", true, false},
        {VERB_DELETECOLLECTION, "delete", "deletecollection", "deleteCollection", "lfcrmtdG", true,
         false},
},
  object_ops[] = {
      {VERB_GET, "get", "get", "read", "", false, false},
      {VERB_UPDATE, "put", "put", "replace", "dgv", true, false},
      {VERB_DELETE, "delete", "delete", "delete", "dGO", true, false},
      {VERB_PATCH, "patch", "patch", "patch", "dgvF", true, true},
};

static const struct param {
    char letter;
    const char *name, *type, *doc;
} params[] = {
    {'l', "labelSelector", "string", "Only objects whose labels match."},
    {'f', "fieldSelector", "string", "Only objects whose fields match."},
    {'c', "continue", "string", "Token of the page before."},
    {'r', "resourceVersion", "string", "The state to read or to watch from."},
    {'m', "resourceVersionMatch", "string", "How resourceVersion is meant."},
    {'t', "limit", "integer", "At most so many objects; the rest comes by continue."},
    {'w', "watch", "boolean", "Send changes instead of the list."},
    {'a', "allowWatchBookmarks", "boolean", "Send bookmarks on a watch."},
    {'s', "sendInitialEvents", "boolean", "Begin a watch with the present state."},
    {'d', "dryRun", "string", "All: do everything but store."},
    {'g', "fieldManager", "string", "Name of who makes the change."},
    {'v', "fieldValidation", "string", "Ignore, Warn or Strict: what to do with unknown fields."},
    {'F', "force", "boolean", "Take fields over in a server-side apply."},
    {'G', "gracePeriodSeconds", "integer", "Seconds the object may take to end."},
    {'O', "propagationPolicy", "string", "Orphan, Background or Foreground."},
};

static void put_param(struct path_out *o, const struct param *p)
{
    buf_fmt(o->b, "{\"name\":\"%s\",\"in\":\"query\",\"description\":\"%s\",\"uniqueItems\":true",
            p->name, p->doc);
    if (o->v3)
        buf_fmt(o->b, ",\"schema\":{\"type\":\"%s\"}}", p->type);
    else
        buf_fmt(o->b, ",\"type\":\"%s\"}", p->type);
}

static void put_params(struct path_out *o, const struct op *op, struct str ref)
{
    bool first = true;
    buf_z(o->b, "\"parameters\":[");
    if (op->body && !o->v3) {
        buf_fmt(o->b,
                "{\"name\":\"body\",\"in\":\"body\",\"required\":true,\"schema\":{\"$ref\":"
                "\"#/definitions/%.*s\"}}",
                STR_ARG(ref));
        first = false;
    }
    for (const char *c = op->params; *c; c++) {
        for (size_t i = 0; i < ARRAY_LEN(params); i++) {
            if (params[i].letter != *c)
                continue;
            if (!first)
                buf_c(o->b, ',');
            first = false;
            put_param(o, &params[i]);
        }
    }
    buf_c(o->b, ']');
}

static void put_body(struct path_out *o, const struct op *op, struct str ref)
{
    static const char *const patch_types[] = {
        "application/apply-patch+yaml", "application/json-patch+json",
        "application/merge-patch+json", "application/strategic-merge-patch+json"};
    if (!op->body || !o->v3)
        return;
    buf_z(o->b, ",\"requestBody\":{\"content\":{");
    if (!op->patch) {
        buf_fmt(o->b, "\"*/*\":{\"schema\":{\"$ref\":\"#/components/schemas/%.*s\"}}}}",
                STR_ARG(ref));
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(patch_types); i++)
        buf_fmt(o->b, "%s\"%s\":{\"schema\":{\"$ref\":\"#/components/schemas/%.*s\"}}",
                i ? "," : "", patch_types[i], STR_ARG(ref));
    buf_z(o->b, "}}");
}

static void put_response(struct path_out *o, struct str ref)
{
    if (o->v3)
        buf_fmt(o->b,
                ",\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{\"application/json\":"
                "{\"schema\":{\"$ref\":\"#/components/schemas/%.*s\"}}}},\"401\":{\"description\":"
                "\"Unauthorized\"}}",
                STR_ARG(ref));
    else
        buf_fmt(o->b,
                ",\"responses\":{\"200\":{\"description\":\"OK\",\"schema\":{\"$ref\":"
                "\"#/definitions/%.*s\"}},\"401\":{\"description\":\"Unauthorized\"}}",
                STR_ARG(ref));
}

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

/* "createCoreV1NamespacedPod" */
static struct str operation_id(struct path_out *o, const struct op *op, const struct resource *r,
                               bool namespaced)
{
    struct str group = r->group.n ? r->group : STR("core"), head, tail;
    (void)str_cut(group, '.', &head, &tail);
    char *g = (char *)(uintptr_t)arena_str(o->a, head).p;
    char *v = (char *)(uintptr_t)arena_str(o->a, r->version).p;
    g[0] = (char)(g[0] & ~0x20);
    v[0] = (char)(v[0] & ~0x20);
    return arena_fmt(o->a, "%s%s%s%s%.*s", op->word, g, v, namespaced ? "Namespaced" : "",
                     STR_ARG(r->kind));
}

static void put_op(struct path_out *o, const struct op *op, const struct resource *r,
                   bool namespaced, const char *suffix, const struct desc *desc,
                   const struct subresource_def *sub)
{
    struct str type = openapi_name(o->a, desc), ref = type, answer = type;
    if (op->verb == VERB_DELETE || op->verb == VERB_DELETECOLLECTION) {
        ref = STR(META "DeleteOptions");
        answer = STR(META "Status");
    }
    if (op->patch)
        ref = STR(META "Patch");
    if (op->verb == VERB_LIST && r->def->list_desc)
        answer = openapi_name(o->a, r->def->list_desc);
    buf_fmt(o->b, "\"%s\":{\"operationId\":\"%.*s%s\",\"tags\":[\"%.*s\"],", op->method,
            STR_ARG(operation_id(o, op, r, namespaced)), suffix,
            STR_ARG(r->group.n ? r->group : STR("core")));
    put_params(o, op, ref);
    put_body(o, op, ref);
    put_response(o, answer);
    buf_fmt(o->b,
            ",\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":{\"group\":"
            "\"%s\",\"version\":\"%s\",\"kind\":\"%s\"}}",
            op->action, sub ? sub->group : r->def->group, sub ? sub->version : r->def->version,
            sub ? sub->kind : r->def->kind);
}

static void open_path(struct path_out *o, const struct resource *r, bool namespaced,
                      const char *rest)
{
    if (!o->first)
        buf_c(o->b, ',');
    o->first = false;
    if (r->group.n)
        buf_fmt(o->b, "\"/apis/%.*s", STR_ARG(r->group));
    else
        buf_z(o->b, "\"/api");
    buf_fmt(o->b, "/%.*s%s/%.*s%s\":{", STR_ARG(r->version),
            namespaced ? "/namespaces/{namespace}" : "", STR_ARG(r->plural), rest);
}

static void close_path(struct path_out *o, bool namespaced, bool named)
{
    static const char *const names[] = {"name", "namespace"};
    bool first = true;
    buf_z(o->b, ",\"parameters\":[");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!(i == 0 ? named : namespaced))
            continue;
        buf_fmt(o->b, "%s{\"name\":\"%s\",\"in\":\"path\",\"required\":true,\"uniqueItems\":true",
                first ? "" : ",", names[i]);
        buf_z(o->b, o->v3 ? ",\"schema\":{\"type\":\"string\"}}" : ",\"type\":\"string\"}");
        first = false;
    }
    buf_z(o->b, "]}");
}

static void put_ops(struct path_out *o, const struct resource *r, bool namespaced, const char *rest,
                    const struct op *ops, size_t n, uint32_t verbs, const struct desc *desc,
                    const struct subresource_def *sub)
{
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (!(verbs & ops[i].verb))
            continue;
        if (first)
            open_path(o, r, namespaced, rest);
        else
            buf_c(o->b, ',');
        first = false;
        char suffix[64] = "";
        if (sub)
            snprintf(suffix, sizeof suffix, "%c%s", sub->name[0] & ~0x20, sub->name + 1);
        put_op(o, &ops[i], r, namespaced, suffix, desc, sub);
    }
    if (!first)
        close_path(o, namespaced, rest[0] != 0);
}

static void put_resource(struct path_out *o, const struct resource *r)
{
    static const struct op sub_create = {VERB_CREATE, "post", "post", "create", "dgv", true, false};
    bool ns = r->namespaced;
    put_ops(o, r, ns, "", collection_ops, ARRAY_LEN(collection_ops), r->verbs, r->desc, NULL);
    if (ns && (r->verbs & VERB_LIST))
        put_ops(o, r, false, "", collection_ops, 1, r->verbs, r->desc, NULL);
    put_ops(o, r, ns, "/{name}", object_ops, ARRAY_LEN(object_ops), r->verbs, r->desc, NULL);
    for (size_t i = 0; i < r->def->n_subs; i++) {
        const struct subresource_def *s = &r->def->subs[i];
        const char *rest = arena_fmt(o->a, "/{name}/%s", s->name).p;
        if (s->verbs & VERB_CREATE)
            put_ops(o, r, ns, rest, &sub_create, 1, s->verbs, s->desc, s);
        else
            put_ops(o, r, ns, rest, object_ops, ARRAY_LEN(object_ops), s->verbs, s->desc, s);
    }
}

void openapi_paths(struct buf *b, struct arena *a, const struct resource_set *set, bool v3)
{
    struct path_out o = {.b = b, .a = a, .v3 = v3, .first = true};
    for (size_t i = 0; i < set->n; i++)
        if (set->v[i]->def)
            put_resource(&o, set->v[i]);
}
