/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch: a routed request to its verb or subresource. */
#include "server/impl.h"
#include "server/subresource.h"

static void not_served(struct request *r)
{
    respond_text(r, 404, "text/plain; charset=utf-8", STR("404 page not found\n"));
}

static void not_allowed(struct request *r)
{
    respond_errorf(r, ERR_METHOD_NOT_ALLOWED,
                   "the server does not allow this method on the requested resource");
}

static uint32_t verb_bit(enum request_verb v)
{
    static const uint32_t bits[] = {
        [REQ_GET] = VERB_GET,       [REQ_LIST] = VERB_LIST,
        [REQ_WATCH] = VERB_WATCH,   [REQ_CREATE] = VERB_CREATE,
        [REQ_UPDATE] = VERB_UPDATE, [REQ_PATCH] = VERB_PATCH,
        [REQ_DELETE] = VERB_DELETE, [REQ_DELETECOLLECTION] = VERB_DELETECOLLECTION,
    };
    return bits[v];
}

static void run_verb(struct request *r)
{
    static void (*const verbs[])(struct request *) = {
        [REQ_GET] = verb_get,       [REQ_LIST] = verb_list,
        [REQ_WATCH] = verb_watch,   [REQ_CREATE] = verb_create,
        [REQ_UPDATE] = verb_update, [REQ_PATCH] = verb_patch,
        [REQ_DELETE] = verb_delete, [REQ_DELETECOLLECTION] = verb_delete_collection,
    };
    if (!(r->res->verbs & verb_bit(r->verb))) {
        not_allowed(r);
        return;
    }
    verbs[r->verb](r);
}

void request_run(struct request *r)
{
    if (!r->res) {
        not_served(r);
        return;
    }
    if (r->subresource.n) {
        subresource_run(r);
        return;
    }
    if (r->res->def && r->res->def->is_virtual) {
        virtual_run(r);
        return;
    }
    if (r->verb == REQ_CREATE && r->name.n) {
        not_allowed(r);
        return;
    }
    if ((r->verb == REQ_UPDATE || r->verb == REQ_PATCH || r->verb == REQ_GET) && !r->name.n) {
        not_allowed(r);
        return;
    }
    run_verb(r);
}
