/* SPDX-License-Identifier: Apache-2.0 */
/* raw.h: the byte stream that an upgrade leaves, of a server and of a client. Private to src/http.
 */
#ifndef BARQUE_HTTP_RAW_H
#define BARQUE_HTTP_RAW_H

#include "http/conn.h"

/* Takes a connection over. The bytes of `rest` are delivered first; it is emptied. c: NULL for one
 * that broke already: the end is all it tells. */
struct http_raw *raw_new(struct loop *l, struct conn *c, struct buf *rest,
                         const struct http_raw_ops *ops, void *arg);

#endif
