/* SPDX-License-Identifier: Apache-2.0 */
/*
 * headers.h: what the protocol cores share about header fields, targets and statuses. Private to
 * src/http.
 */
#ifndef BARQUE_HTTP_HEADERS_H
#define BARQUE_HTTP_HEADERS_H

#include "http/http.h"

/* Character classes of RFC 9110 section 5.6.2 and 5.5, and of request targets. */
enum {
    CHAR_TOKEN = 1,  /* tchar */
    CHAR_VALUE = 2,  /* VCHAR, obs-text, space, tab */
    CHAR_TARGET = 4, /* visible, no "#"; bytes >= 0x80 are let through, as others do */
    CHAR_HOST = 8,   /* reg-name, IP literals and the port: no "@", "/", "?", quotes, blanks */
    CHAR_UPPER = 16,
};
extern const unsigned char http_char[256];

static inline bool http_all(struct str s, int class)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(http_char[(unsigned char)s.p[i]] & class))
            return false;
    return true;
}

/* "Not Found"; "" for a status that has no registered phrase. */
struct str http_phrase(int status);

/* Splits a request target into path and query and, when it is in absolute form, takes its host.
 * False: it is none of the forms that a server of ours accepts (origin form, absolute form of
 * http and https, "*" for OPTIONS). r->method and r->target are set. */
bool http_split_target(struct http_request *r);

/* A field that belongs to one connection and not to the message (RFC 9110 section 7.6.1), or that
 * the framing writes itself: never copied from a handler's headers. name in lower case. */
bool http_field_is_framing(struct str name);

/* The value without anything that could end the field: CR, LF and NUL become blanks. */
struct str http_safe_value(struct arena *a, struct str value);

#endif
