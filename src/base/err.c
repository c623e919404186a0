/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>

#include "base/buf.h"

static const struct {
    int http;
    const char *reason;
} table[] = {[ERR_NONE] = {200, ""},
#define X(name, http, reason) [ERR_##name] = {http, reason},
             ERR_TABLE(X)
#undef X
};

int err_http(enum err_code code)
{
    return table[code].http;
}

const char *err_reason(enum err_code code)
{
    return table[code].reason;
}

enum err_code err_from_http(int status)
{
    for (size_t i = 1; i < ARRAY_LEN(table); i++)
        if (table[i].http == status)
            return (enum err_code)i;
    return status >= 500 ? ERR_INTERNAL : ERR_BAD_REQUEST;
}

/* A text on the arena; when even that is full, a fixed one: refusing must always be possible. */
static struct str keep(struct arena *a, struct str s)
{
    char *p = arena_try(a, s.n + 1, 1);
    if (!p)
        return STR("(no memory left for the message)");
    memcpy(p, s.p, s.n);
    return str_n(p, s.n);
}

PRINTF(2, 0)
static struct str format(struct arena *a, const char *fmt, va_list ap)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    buf_vfmt(&b, fmt, ap);
    if (b.failed)
        return STR("(message too long)");
    return b.n ? keep(a, buf_view(&b)) : STR("");
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    must(code != ERR_NONE);
    va_list ap;
    va_start(ap, fmt);
    e->message = format(e->arena, fmt, ap);
    va_end(ap);
    e->code = code;
    return -(int)code;
}

int err_errno(struct err *e, int error_number, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str what = format(e->arena, fmt, ap);
    va_end(ap);
    char text[128];
    const char *why = strerror_r(error_number, text, sizeof text);
    return err_set(e, ERR_IO, "%.*s: %s", STR_ARG(what), why);
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    must(e->code != ERR_NONE);
    va_list ap;
    va_start(ap, fmt);
    struct str context = format(e->arena, fmt, ap);
    va_end(ap);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    buf_fmt(&b, "%.*s: %.*s", STR_ARG(context), STR_ARG(e->message));
    e->message = b.failed ? context : keep(e->arena, buf_view(&b));
    return -(int)e->code;
}

void err_cause(struct err *e, struct str field, const char *reason, const char *fmt, ...)
{
    if (e->cause_count >= ERR_CAUSES_MAX)
        return;
    struct err_cause *c = arena_try(e->arena, 1, sizeof *c);
    if (!c)
        return;
    va_list ap;
    va_start(ap, fmt);
    c->field = field.n ? keep(e->arena, field) : STR("");
    c->reason = keep(e->arena, str_z(reason));
    c->message = format(e->arena, fmt, ap);
    va_end(ap);
    if (!e->tail)
        e->tail = &e->causes;
    *e->tail = c;
    e->tail = &c->next;
    e->cause_count++;
}

bool err_has_cause(const struct err *e, const char *reason)
{
    for (const struct err_cause *c = e->causes; c; c = c->next)
        if (str_eqz(c->reason, reason))
            return true;
    return false;
}

void err_clear(struct err *e)
{
    *e = ERR_INIT(e->arena);
}
