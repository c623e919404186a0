/* SPDX-License-Identifier: Apache-2.0 */
/* The interface, forwarded to whoever implements it. */
#include "engine/engine.h"

#include "engine/transport.h"

void engine_call(struct engine *g, enum criv1_method m, const void *request, struct engine_call *c)
{
    must(c->done && c->arena && m < CRIV1_METHOD_COUNT);
    c->err = ERR_INIT(c->arena);
    c->response = NULL;
    c->method = m;
    c->request = request;
    c->canceled = false;
    g->ops->call(g, c);
}

void engine_cancel(struct engine *g, struct engine_call *c)
{
    c->canceled = true;
    g->ops->cancel(g, c);
}

void engine_watch_start(struct engine *g, struct engine_watch *w,
                        void (*fn)(struct engine_watch *w, const struct engine_event *ev))
{
    w->fn = fn;
    g->ops->watch(g, w);
}

void engine_watch_stop(struct engine_watch *w)
{
    list_remove(&w->link);
}

struct engine_session *engine_exec(struct engine *g, const struct criv1_exec_request *request,
                                   const struct engine_session_ops *ops, void *arg)
{
    return g->ops->exec(g, request, ops, arg);
}

struct engine_session *engine_attach(struct engine *g, const struct criv1_attach_request *request,
                                     const struct engine_session_ops *ops, void *arg)
{
    return g->ops->attach(g, request, ops, arg);
}

struct engine_session *engine_port_forward(struct engine *g, struct str sandbox_id, uint16_t port,
                                           const struct engine_session_ops *ops, void *arg)
{
    return g->ops->port_forward(g, sandbox_id, port, ops, arg);
}

size_t engine_session_input(struct engine_session *s, struct str bytes)
{
    return s->impl->input(s, bytes);
}

void engine_session_input_end(struct engine_session *s)
{
    s->impl->input_end(s);
}

void engine_session_resize(struct engine_session *s, uint16_t columns, uint16_t rows)
{
    s->impl->resize(s, columns, rows);
}

void engine_session_pause(struct engine_session *s)
{
    s->impl->pause(s);
}

void engine_session_resume(struct engine_session *s)
{
    s->impl->resume(s);
}

void engine_session_close(struct engine_session *s)
{
    s->impl->close(s);
}

void engine_close(struct engine *g, void (*closed)(void *arg), void *arg)
{
    g->ops->close(g, closed, arg);
}
