/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h: what went wrong, in a form that maps one to one to a Kubernetes Status.
 *
 * A function that can fail with something a user should read takes `struct err *e` last and
 * returns 0 or a negative code, made by err_set(). On success it leaves *e untouched, so calls
 * chain. Messages live on e->arena, which the caller chose; they are sentences without a final
 * stop, lower case first, naming the thing: `pods "x" not found`.
 *
 * A layer either logs an error or returns it, never both.
 */
#ifndef BARQUE_BASE_ERR_H
#define BARQUE_BASE_ERR_H

#include "base/arena.h"
#include "base/base.h"
#include "base/str.h"

/* Code, HTTP status and the Status reason of the Kubernetes API (metav1.StatusReason). */
#define ERR_TABLE(X)                                                                              \
    X(BAD_REQUEST, 400, "BadRequest")                                                             \
    X(UNAUTHORIZED, 401, "Unauthorized")                                                          \
    X(FORBIDDEN, 403, "Forbidden")                                                                \
    X(NOT_FOUND, 404, "NotFound")                                                                 \
    X(METHOD_NOT_ALLOWED, 405, "MethodNotAllowed")                                                \
    X(NOT_ACCEPTABLE, 406, "NotAcceptable")                                                       \
    X(ALREADY_EXISTS, 409, "AlreadyExists")                                                       \
    X(CONFLICT, 409, "Conflict")                                                                  \
    X(GONE, 410, "Gone")                                                                          \
    X(EXPIRED, 410, "Expired")                                                                    \
    X(TOO_LARGE, 413, "RequestEntityTooLarge")                                                    \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "UnsupportedMediaType")                                        \
    X(INVALID, 422, "Invalid")                                                                    \
    X(TOO_MANY_REQUESTS, 429, "TooManyRequests")                                                  \
    X(INTERNAL, 500, "InternalError")                                                             \
    X(UNAVAILABLE, 503, "ServiceUnavailable")                                                     \
    X(TIMEOUT, 504, "Timeout")                                                                    \
    X(STORE_CORRUPT, 500, "InternalError") /* the database is damaged; operator's action needed */ \
    X(IO, 500, "InternalError")            /* a system call failed; message has strerror */       \
    X(LIMIT, 413, "RequestEntityTooLarge") /* a bound of this program was reached */              \
    X(CANCELED, 499, "Canceled")           /* the asker went away */

enum err_code {
    ERR_NONE = 0,
#define X(name, http, reason) ERR_##name,
    ERR_TABLE(X)
#undef X
};

/* One field's fault: metav1.StatusCause. */
struct err_cause {
    struct err_cause *next;
    struct str field;   /* "spec.containers[0].image" */
    struct str reason;  /* "FieldValueRequired" */
    struct str message; /* "Required value" */
};

struct err {
    struct arena *arena;      /* messages live here; must be set before use */
    enum err_code code;       /* ERR_NONE: no error */
    struct str message;
    struct err_cause *causes; /* in order of discovery */
    struct err_cause **tail;
    uint32_t cause_count;
    uint32_t retry_after_s;   /* 0: none */
    struct str detail_kind, detail_group, detail_name, detail_uid; /* metav1.StatusDetails */
};

#define ERR_INIT(arena_ptr) ((struct err){.arena = (arena_ptr)})

/* Sets code and message (replacing earlier ones) and returns -code. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF(3, 4);
/* As ERR_IO with ": " and strerror(error_number) appended. */
int err_errno(struct err *e, int error_number, const char *fmt, ...) PRINTF(3, 4);
/* Puts "context: " in front of the message; returns -e->code. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF(2, 3);
/* Adds one field's fault; does not set the code. At most ERR_CAUSES_MAX are kept. */
void err_cause(struct err *e, struct str field, const char *reason, const char *fmt, ...)
    PRINTF(4, 5);
/* Is there a cause with this reason? */
bool err_has_cause(const struct err *e, const char *reason);
/* Forgets everything but the arena. */
void err_clear(struct err *e);

enum { ERR_CAUSES_MAX = 1000 };

int err_http(enum err_code code);
const char *err_reason(enum err_code code);
/* The code for an HTTP status answered by a peer (the first of the table that has it). */
enum err_code err_from_http(int status);

#endif
