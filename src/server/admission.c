/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain of admission: upstream's default plugins by name, in upstream's order. One file each
 * for the bigger ones (admit_*.c). Plugins here answer at once; webhooks and policies (which wait)
 * come behind them.
 */
#include "server/admit.h"
#include "server/impl.h"

static const struct admission_plugin *const plugins[] = {
    &admit_namespace_lifecycle,        &admit_taint_nodes_by_condition, &admit_priority,
    &admit_default_toleration_seconds, &admit_service_account,
};

static bool applies(const struct admission_plugin *p, const struct admission *a)
{
    if (!(p->operations & (1u << a->op)))
        return false;
    if (!p->plural)
        return true;
    return str_eqz(a->res->plural, p->plural) && str_eqz(a->res->group, p->group) &&
           (a->subresource.n == 0) == !p->subresources;
}

static int run(struct admission *a, bool mutate)
{
    for (size_t i = 0; i < ARRAY_LEN(plugins); i++) {
        const struct admission_plugin *p = plugins[i];
        int (*fn)(struct admission *) = mutate ? p->mutate : p->validate;
        if (!fn || !applies(p, a))
            continue;
        int rc = fn(a);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void admission_mutate(struct admission *a)
{
    a->next(a, run(a, true));
}

void admission_validate(struct admission *a)
{
    a->next(a, run(a, false));
}
