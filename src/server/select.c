/* SPDX-License-Identifier: Apache-2.0 */
#include "server/select.h"

#include "server/impl.h"

/* Custom resources are selected by name and namespace only. */
static const struct resource_def name_only = {.plural = "", .kind = "", .group = "", .version = ""};

static int bind_fields(struct selection *s, struct request *r)
{
    const struct resource_def *def = r->res->hub->def ? r->res->hub->def : &name_only;
    int rc = field_selector_parse(r->arena, r->opts.field_selector, &s->fields, &r->err);
    if (rc < 0)
        return rc;
    struct str exact;
    if (field_selector_exact(&s->fields, STR("metadata.name"), &exact))
        s->name = exact;
    s->by_fields = s->fields.n > 0;
    return r->res->hub->def ? field_selector_bind(&s->fields, def, &r->err) : 0;
}

int selection_init(struct selection *s, struct request *r)
{
    int rc = 0;
    *s = (struct selection){0};
    if (r->opts.label_selector.n)
        rc = label_selector_parse(r->arena, r->opts.label_selector, &s->labels, &r->err);
    if (rc == 0 && r->opts.field_selector.n)
        rc = bind_fields(s, r);
    s->by_labels = !label_selector_is_empty(&s->labels);
    if (r->name.n)
        s->name = r->name;
    return rc;
}

struct str selection_prefix(const struct selection *s, struct request *r)
{
    struct resource *hub = r->res->hub;
    struct str ns = hub->namespaced ? r->ns : STR("");
    if (s->name.n && (ns.n || !hub->namespaced))
        return resource_key(r->arena, hub, ns, s->name);
    return resource_prefix(r->arena, hub, ns);
}

/* Without descriptors only metadata.name and metadata.namespace can be meant. */
static bool plain_fields_match(const struct field_selector *f, struct str ns, struct str name)
{
    for (size_t i = 0; i < f->n; i++) {
        struct str have = str_eq(f->v[i].field, STR("metadata.namespace")) ? ns : name;
        if (str_eq(have, f->v[i].value) == f->v[i].not_equal)
            return false;
    }
    return true;
}

bool selection_matches(const struct selection *s, struct resource *res, struct item *i)
{
    struct str ns, name;
    if (!selection_any(s))
        return true;
    key_split(item_key(i), &ns, &name);
    if (s->name.n && !str_eq(name, s->name))
        return false;
    if (s->by_labels) {
        struct arena scratch = ARENA_INIT;
        struct metav1_object_meta m;
        item_meta(&scratch, i, &m);
        bool match = label_selector_match(&s->labels, &m.labels);
        arena_fini(&scratch);
        if (!match)
            return false;
    }
    if (!s->by_fields)
        return true;
    if (!res->hub->desc)
        return plain_fields_match(&s->fields, ns, name);
    return field_selector_match(&s->fields, item_typed(i, res->hub->desc));
}
