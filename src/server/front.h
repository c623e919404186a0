/* SPDX-License-Identifier: Apache-2.0 */
/* front.h: the HTTP face of the API server. */
#ifndef BARQUE_SERVER_FRONT_H
#define BARQUE_SERVER_FRONT_H

#include "http/http.h"
#include "server/server.h"

/* For http_server_new: arg is the struct server. */
extern const struct http_handler front_handler;

#endif
