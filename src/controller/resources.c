/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/resources.h"

/* Other names of objects that are stored as another resource. */
static const struct {
    const char *group, *version, *plural;
} aliases[] = {
    {"events.k8s.io", "v1", "events"},
    {"autoscaling", "v1", "horizontalpodautoscalers"},
};

bool resource_collectable(const struct resource_def *d)
{
    const uint32_t verbs = VERB_LIST | VERB_WATCH | VERB_DELETE;
    if (d->is_virtual || (d->verbs & verbs) != verbs)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        if (strcmp(d->group, aliases[i].group) == 0 &&
            strcmp(d->version, aliases[i].version) == 0 &&
            strcmp(d->plural, aliases[i].plural) == 0)
            return false;
    return true;
}

struct str resource_dotted(struct arena *a, const struct resource_def *d)
{
    return arena_fmt(a, "%s.%s", d->plural, d->group);
}
