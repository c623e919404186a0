/* SPDX-License-Identifier: Apache-2.0 */
#include "server/openapi.h"

#include "codec/gzip.h"
#include "server/discovery.h"
#include "server/impl.h"

enum { DOCUMENT_BYTES_MAX = 64 << 20, GZIP_LEVEL = 6 };

#define PB_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

/* One document, compressed. */
struct document {
    char *gz;
    size_t gz_n, n; /* compressed and plain bytes */
    char etag[20];
};

struct openapi_cache {
    uint64_t generation;  /* of the table of resources when these were made */
    struct map documents; /* "v2", "v2pb", "api/v1", "apis/apps/v1" -> struct document */
};

static void documents_drop(struct openapi_cache *c)
{
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&c->documents, &it));) {
        struct document *d = e->value;
        free(d->gz);
        free(d);
    }
    map_clear(&c->documents);
}

void openapi_free(struct openapi_cache *c)
{
    if (!c)
        return;
    documents_drop(c);
    map_fini(&c->documents);
    free(c);
}

static struct openapi_cache *cache_of(struct server *s)
{
    if (!s->openapi)
        s->openapi = xcalloc(1, sizeof *s->openapi);
    if (s->openapi->generation != resources_generation(s)) {
        documents_drop(s->openapi);
        s->openapi->generation = resources_generation(s);
    }
    return s->openapi;
}

static struct document *keep(struct openapi_cache *c, struct str key, struct str text)
{
    struct document *d = xcalloc(1, sizeof *d);
    struct buf gz = BUF_INIT(DOCUMENT_BYTES_MAX);
    gzip_compress(&gz, text, GZIP_LEVEL);
    must(!gz.failed);
    d->n = text.n;
    snprintf(d->etag, sizeof d->etag, "\"%016llX\"", (unsigned long long)str_hash(text));
    d->gz = buf_take(&gz, &d->gz_n);
    d->gz = xrealloc(d->gz, d->gz_n);
    map_put(&c->documents, key, d);
    return d;
}

/* ---- making documents ---- */

static struct resource_set resources_in(struct server *s, struct arena *a, struct str gv)
{
    struct resource_set set = {0};
    uint32_t it = 0;
    for (struct resource *r; (r = resources_next(s, &it));)
        if (r->def && (!gv.n || str_eq(r->api_version, gv)))
            *list_add(a, &set) = r;
    return set;
}

static void put_info(struct buf *b)
{
    buf_z(b, "\"info\":{\"title\":\"Kubernetes\",\"version\":\"v1.36.0\"},\"paths\":{");
}

static struct document *make_v2(struct server *s, bool pb)
{
    struct openapi_cache *c = cache_of(s);
    struct arena a = ARENA_INIT;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(DOCUMENT_BYTES_MAX);
    struct resource_set set = resources_in(s, &a, STR(""));
    struct document *d;
    buf_z(&b, "{\"swagger\":\"2.0\",");
    put_info(&b);
    openapi_paths(&b, &a, &set, false);
    buf_z(&b, "},\"definitions\":{");
    openapi_definitions(&b, &a, "#/definitions/", &set);
    buf_z(&b, "}}\n");
    must(!b.failed);
    if (pb) {
        struct json *doc;
        struct err e = ERR_INIT(&a);
        CLEANUP(pb_out_fini) struct pb_out o;
        pb_out_init(&o, DOCUMENT_BYTES_MAX);
        must(json_parse(&a, buf_view(&b), &doc, &e) == 0);
        openapi_pb(&o, doc);
        must(!o.failed);
        d = keep(c, STR("v2pb"), pb_out_view(&o));
    } else {
        d = keep(c, STR("v2"), buf_view(&b));
    }
    arena_fini(&a);
    return d;
}

static struct document *make_v3(struct server *s, struct str key, struct str gv)
{
    struct arena a = ARENA_INIT;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(DOCUMENT_BYTES_MAX);
    struct resource_set set = resources_in(s, &a, gv);
    struct document *d = NULL;
    if (set.n) {
        buf_z(&b, "{\"openapi\":\"3.0.0\",");
        put_info(&b);
        openapi_paths(&b, &a, &set, true);
        buf_z(&b, "},\"components\":{\"schemas\":{");
        openapi_definitions(&b, &a, "#/components/schemas/", &set);
        buf_z(&b, "}}}\n");
        must(!b.failed);
        d = keep(cache_of(s), key, buf_view(&b));
    }
    arena_fini(&a);
    return d;
}

/* ---- answering ---- */

static void send(struct request *r, const struct document *d, struct str type)
{
    struct http_headers h = {0};
    http_header_add(r->arena, &h, STR("etag"), str_z(d->etag));
    http_header_add(r->arena, &h, STR("vary"), STR("Accept, Accept-Encoding"));
    r->responded = true;
    if (r->headers && str_eqz(http_header_get(r->headers, "if-none-match"), d->etag)) {
        r->responder->respond(r, 304, type, &h, STR(""));
        return;
    }
    if (r->gzip) {
        http_header_add(r->arena, &h, STR("content-encoding"), STR("gzip"));
        r->responder->respond(r, 200, type, &h, str_n(d->gz, d->gz_n));
        return;
    }
    CLEANUP(buf_fini) struct buf plain = BUF_INIT(d->n);
    must(gzip_decompress(&plain, str_n(d->gz, d->gz_n)));
    r->responder->respond(r, 200, type, &h, buf_view(&plain));
}

static void not_found(struct request *r)
{
    respond_text(r, 404, "text/plain; charset=utf-8", STR("404 page not found\n"));
}

static void run_v2(struct request *r)
{
    bool pb = str_find(r->accept, STR("proto-openapi.spec.v2")) >= 0;
    struct document *d = map_get(&cache_of(r->server)->documents, pb ? STR("v2pb") : STR("v2"));
    if (!d)
        d = make_v2(r->server, pb);
    send(r, d, pb ? STR(PB_TYPE) : STR("application/json"));
}

static struct document *find_v3(struct server *s, struct str key, struct str gv)
{
    struct document *d = map_get(&cache_of(s)->documents, key);
    return d ? d : make_v3(s, key, gv);
}

/* {"paths":{"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=..."}}} */
static void run_index(struct request *r)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    struct map seen = MAP_INIT;
    uint32_t it = 0;
    buf_z(&b, "{\"paths\":{");
    for (struct resource *res; (res = resources_next(r->server, &it));) {
        if (!res->def || map_put(&seen, res->api_version, r))
            continue;
        struct str key = arena_fmt(r->arena, "%s/%.*s", res->group.n ? "apis" : "api",
                                   STR_ARG(res->api_version));
        struct document *d = find_v3(r->server, key, res->api_version);
        struct str hash = str_sub(str_z(d->etag), 1, strlen(d->etag) - 1);
        buf_fmt(&b, "%s\"%.*s\":{\"serverRelativeURL\":\"/openapi/v3/%.*s?hash=%.*s\"}",
                seen.count > 1 ? "," : "", STR_ARG(key), STR_ARG(key), STR_ARG(hash));
    }
    buf_z(&b, "}}\n");
    map_fini(&seen);
    respond_text(r, 200, "application/json", buf_view(&b));
}

static void run_v3(struct request *r, struct str *parts, size_t n)
{
    struct str gv;
    if (n == 0) {
        run_index(r);
        return;
    }
    if (n == 2 && str_eq(parts[0], STR("api")))
        gv = parts[1];
    else if (n == 3 && str_eq(parts[0], STR("apis")))
        gv = arena_fmt(r->arena, "%.*s/%.*s", STR_ARG(parts[1]), STR_ARG(parts[2]));
    else {
        not_found(r);
        return;
    }
    struct str key = arena_fmt(r->arena, "%.*s/%.*s", STR_ARG(parts[0]), STR_ARG(gv));
    struct document *d = find_v3(r->server, key, gv);
    if (d)
        send(r, d, STR("application/json"));
    else
        not_found(r);
}

void openapi_run(struct request *r, struct str *parts, size_t n)
{
    if (n == 2 && str_eq(parts[1], STR("v2")))
        run_v2(r);
    else if (n >= 2 && str_eq(parts[1], STR("v3")))
        run_v3(r, parts + 2, n - 2);
    else
        not_found(r);
}
