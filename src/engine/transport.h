/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport.h: what one who wants to be a `struct engine` provides. Includes: the embedded engine
 * (local.c), fakes in tests and in the simulator.
 *
 * engine.h's functions are thin: they fill in the private fields of a call and forward here.
 * Implementations embed struct engine and struct engine_session first and set the pointers.
 */
#ifndef BARQUE_ENGINE_TRANSPORT_H
#define BARQUE_ENGINE_TRANSPORT_H

#include "engine/engine.h"

struct engine_ops {
    /* c->method, c->request and c->err are set. Never calls c->done before it returns. */
    void (*call)(struct engine *g, struct engine_call *c);
    void (*cancel)(struct engine *g, struct engine_call *c);
    void (*watch)(struct engine *g, struct engine_watch *w);
    struct engine_session *(*exec)(struct engine *g, const struct criv1_exec_request *request,
                                   const struct engine_session_ops *ops, void *arg);
    struct engine_session *(*attach)(struct engine *g, const struct criv1_attach_request *request,
                                     const struct engine_session_ops *ops, void *arg);
    struct engine_session *(*port_forward)(struct engine *g, struct str sandbox_id, uint16_t port,
                                           const struct engine_session_ops *ops, void *arg);
    void (*close)(struct engine *g, void (*closed)(void *arg), void *arg);
};

struct engine {
    const struct engine_ops *ops;
};

struct engine_session_impl {
    size_t (*input)(struct engine_session *s, struct str bytes);
    void (*input_end)(struct engine_session *s);
    void (*resize)(struct engine_session *s, uint16_t columns, uint16_t rows);
    void (*pause)(struct engine_session *s);
    void (*resume)(struct engine_session *s);
    void (*close)(struct engine_session *s);
};

struct engine_session {
    const struct engine_session_impl *impl;
    const struct engine_session_ops *ops; /* the user's */
    void *arg;
};

#endif
