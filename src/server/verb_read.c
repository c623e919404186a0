/* SPDX-License-Identifier: Apache-2.0 */
/* get and list. */
#include "codec/base64.h"
#include "server/impl.h"
#include "server/select.h"
#include "server/table.h"

enum {
    LIST_WHOLE_BYTES_MAX = 1 << 20,  /* longer lists leave in pieces */
    LIST_QUEUE_BYTES_MAX = 256 << 10 /* unsent bytes at which a long list pauses */
};

/* ---- resourceVersion ---- */

static int too_new(struct request *r, rev_t want, rev_t have)
{
    err_cause(&r->err, STR(""), "ResourceVersionTooLarge", "Too large resource version");
    r->err.retry_after_s = 1;
    return err_set(&r->err, ERR_TIMEOUT, "Too large resource version: %lld, current: %lld",
                   (long long)want, (long long)have);
}

int request_revision(struct request *r, rev_t *ret)
{
    struct str text = r->opts.resource_version;
    *ret = 0;
    if (!text.n)
        return 0;
    uint64_t v;
    if (!str_to_u64(text, &v) || v > INT64_MAX)
        return err_set(
            &r->err, ERR_BAD_REQUEST,
            "Invalid value: \"%.*s\": resourceVersion: Invalid value: \"%.*s\": strconv.ParseUint: "
            "parsing \"%.*s\": invalid syntax",
            STR_ARG(text), STR_ARG(text), STR_ARG(text));
    *ret = (rev_t)v;
    return 0;
}

/* What resourceVersionMatch asks for in a list; upstream: ValidateListOptions. */
static int check_match(struct request *r)
{
    struct str match = r->opts.resource_version_match, rv = r->opts.resource_version;
    if (!match.n)
        return 0;
    if (r->opts.continue_token.n)
        return err_set(&r->err, ERR_INVALID,
                       "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when "
                       "continue is provided");
    if (!rv.n)
        return err_set(&r->err, ERR_INVALID,
                       "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless "
                       "resourceVersion is provided");
    if (!str_eq(match, STR("Exact")) && !str_eq(match, STR("NotOlderThan")))
        return err_set(&r->err, ERR_INVALID,
                       "resourceVersionMatch: Unsupported value: \"%.*s\": supported values: "
                       "\"Exact\", \"NotOlderThan\"",
                       STR_ARG(match));
    if (str_eq(match, STR("Exact")) && str_eq(rv, STR("0")))
        return err_set(&r->err, ERR_INVALID,
                       "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is "
                       "forbidden for resourceVersion \"0\"");
    return 0;
}

/* ---- get ---- */

void verb_get(struct request *r)
{
    rev_t rev;
    if (request_revision(r, &rev) < 0) {
        respond_error(r);
        return;
    }
    struct store *s = r->server->store;
    if (rev > store_revision(s)) {
        (void)too_new(r, rev, store_revision(s));
        respond_error(r);
        return;
    }
    struct item *i = store_get(s, resource_key(r->arena, r->res, r->ns, r->name));
    if (!i) {
        (void)err_not_found(&r->err, r->res, r->name);
        respond_error(r);
        return;
    }
    respond_item(r, 200, i);
}

/* ---- list ---- */

struct list_job {
    struct request *r;
    struct selection sel;
    struct store_range range;
    rev_t rev;
    bool inconsistent; /* continued past compaction by the client's wish */
    bool more;         /* the limit was reached with items left */
    VEC(struct item *) items;
    size_t bytes;
    size_t sent; /* items already written, when streaming */
};

/* {"v":"meta.k8s.io/v1","rv":5,"start":"ns/name"} in base64url, as kube-apiserver's. */
static struct str make_token(struct list_job *j, rev_t rev)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4)), out = BUF_INIT(KIB(8));
    struct str last = item_key(j->items.v[j->items.n - 1]);
    buf_fmt(&b, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)rev);
    json_put_string(&b, str_sub(last, j->r->res->prefix.n, last.n));
    buf_c(&b, '}');
    base64url_encode(&out, buf_view(&b));
    return buf_to_arena(&out, j->r->arena);
}

static int bad_token(struct request *r)
{
    return err_set(&r->err, ERR_BAD_REQUEST, "continue key is not valid");
}

static int read_token(struct list_job *j)
{
    struct request *r = j->r;
    struct str text;
    struct json *t;
    int64_t rev;
    struct err ignored = ERR_INIT(r->arena);
    if (!base64url_decode(r->arena, r->opts.continue_token, &text) ||
        json_parse(r->arena, text, &t, &ignored) < 0 || !json_i64(json_getz(t, "rv"), &rev))
        return bad_token(r);
    struct str start = json_str(json_getz(t, "start"));
    if (!start.n || str_find(start, STR("..")) >= 0 || rev == 0 || rev < -1)
        return bad_token(r);
    if (r->opts.resource_version.n && !str_eq(r->opts.resource_version, STR("0")))
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "specifying resource version is not allowed when using continue");
    j->range.after = arena_cat(r->arena, r->res->prefix, start);
    j->inconsistent = rev == -1;
    j->range.at = j->inconsistent ? 0 : rev;
    return 0;
}

static bool collect(void *arg, struct item *i)
{
    struct list_job *j = arg;
    if (!selection_matches(&j->sel, j->r->res, i))
        return true;
    if (j->r->opts.limit && j->items.n == (size_t)j->r->opts.limit) {
        j->more = true;
        return false;
    }
    vec_push(&j->items, item_ref(i));
    j->bytes += i->value_len + 2;
    return true;
}

static void job_drop(struct list_job *j)
{
    for (size_t i = 0; i < j->items.n; i++)
        item_unref(j->items.v[i]);
    vec_free(&j->items);
}

/* 410 with a token that goes on from here in the newest state, if the client accepts that. */
static void respond_expired(struct list_job *j)
{
    struct request *r = j->r;
    struct metav1_status st;
    if (!j->range.after.n) {
        (void)err_set(&r->err, ERR_EXPIRED,
                      "The resourceVersion for the provided list is too old.");
        respond_error(r);
        return;
    }
    (void)err_set(&r->err, ERR_EXPIRED,
                  "The provided continue parameter is too old to display a consistent list result. "
                  "You can start a new list without the continue parameter, or use the continue "
                  "token in this response to retrieve the remainder of the results. Continuing "
                  "with the provided token results in an inconsistent list - objects that were "
                  "created, modified, or deleted between the time the first chunk was returned and "
                  "now may show up in the list.");
    status_from_err(r, &st);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4)), out = BUF_INIT(KIB(8));
    buf_z(&b, "{\"v\":\"meta.k8s.io/v1\",\"rv\":-1,\"start\":");
    json_put_string(&b, str_sub(j->range.after, r->res->prefix.n, j->range.after.n));
    buf_c(&b, '}');
    base64url_encode(&out, buf_view(&b));
    st.metadata.continue_ = buf_view(&out);
    respond_typed(r, st.code, &metav1_status_desc, &st);
}

static void list_meta(struct list_job *j, struct metav1_list_meta *m)
{
    struct request *r = j->r;
    m->resource_version = arena_fmt(r->arena, "%lld", (long long)j->rev);
    if (!j->more)
        return;
    m->continue_ = make_token(j, j->inconsistent ? -1 : j->rev);
    if (selection_any(&j->sel))
        return; /* the rest is not known without looking */
    /* An estimate once the state has moved on; upstream's is one too. */
    struct item *last = j->items.v[j->items.n - 1];
    size_t rest = store_count_after(r->server->store, j->range.prefix, item_key(last));
    m->remaining_item_count = NEW_VALUE(r->arena, int64_t, (int64_t)rest);
}

/* The text behind the opening brace; items of a typed list carry no kind and apiVersion. */
static struct str bare(const struct resource *res, struct str json, struct str type_prefix)
{
    if (!res->desc || !str_has_prefix(json, type_prefix))
        return str_sub(json, 1, json.n);
    return str_sub(json, type_prefix.n, json.n);
}

static struct str type_prefix_of(struct arena *a, const struct resource *res)
{
    return arena_fmt(a, "{\"kind\":\"%.*s\",\"apiVersion\":\"%.*s\",", STR_ARG(res->kind),
                     STR_ARG(res->api_version));
}

static void put_item(struct buf *b, struct str bare_json)
{
    buf_c(b, '{');
    buf_str(b, bare_json);
}

static void put_list_head(struct list_job *j, struct buf *b, struct str kind,
                          struct str api_version)
{
    struct metav1_list_meta m = {0};
    list_meta(j, &m);
    buf_fmt(b, "{\"kind\":\"%.*s\",\"apiVersion\":\"%.*s\",\"metadata\":", STR_ARG(kind),
            STR_ARG(api_version));
    desc_encode_json(&metav1_list_meta_desc, &m, b);
    buf_z(b, ",\"items\":[");
}

/* Writes pieces until the client's queue is full or the list is out. */
static void stream_more(struct request *r)
{
    struct list_job *j = r->stage;
    struct str prefix = type_prefix_of(r->arena, r->res);
    while (j->sent < j->items.n) {
        CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
        while (j->sent < j->items.n && b.n < LIST_QUEUE_BYTES_MAX / 2) {
            if (j->sent)
                buf_c(&b, ',');
            put_item(&b, bare(r->res, item_value(j->items.v[j->sent]), prefix));
            item_unref(j->items.v[j->sent]);
            j->items.v[j->sent++] = NULL;
        }
        struct str part = buf_view(&b);
        if (r->responder->write(r, &part, 1) > LIST_QUEUE_BYTES_MAX && j->sent < j->items.n)
            return; /* on_drained calls again */
    }
    struct str tail = STR("]}\n");
    (void)r->responder->write(r, &tail, 1);
    r->on_abort = NULL;
    r->on_drained = NULL;
    job_drop(j);
    r->responder->end(r);
}

static void stream_aborted(struct request *r)
{
    job_drop(r->stage);
    request_free(r);
}

static void respond_stream(struct list_job *local)
{
    struct request *r = local->r;
    struct list_job *j = arena_new(r->arena, struct list_job);
    *j = *local;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    put_list_head(j, &b, r->res->list_kind, r->res->api_version);
    struct http_headers h = {0};
    r->responded = true;
    r->stage = j;
    r->on_abort = stream_aborted;
    r->on_drained = stream_more;
    r->responder->start(r, 200, request_content_type(r), &h);
    struct str head = buf_view(&b);
    (void)r->responder->write(r, &head, 1);
    stream_more(r);
}

static void respond_json(struct list_job *j)
{
    struct request *r = j->r;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(SIZE_MAX / 4);
    bool partial = r->shape == SHAPE_PARTIAL;
    bool native = !partial && r->res == r->res->hub;
    struct str prefix = type_prefix_of(r->arena, r->res);
    enum body_format out = r->out;
    r->out = FORMAT_JSON; /* of the parts */
    put_list_head(j, &b, partial ? STR("PartialObjectMetadataList") : r->res->list_kind,
                  partial ? STR("meta.k8s.io/v1") : r->res->api_version);
    for (size_t i = 0; i < j->items.n; i++) {
        struct item *it = j->items.v[i];
        if (i)
            buf_c(&b, ',');
        if (partial) {
            struct object o = {.res = r->res,
                               .meta = arena_new(r->arena, struct metav1_object_meta)};
            item_meta(r->arena, it, o.meta);
            buf_str(&b, partial_body(r, &o));
        } else if (native) {
            put_item(&b, bare(r->res, item_value(it), prefix));
        } else {
            put_item(&b, bare(r->res, object_body(r, item_in_version(r, it)), prefix));
        }
    }
    buf_z(&b, "]}\n");
    r->out = out;
    respond_json_text(r, 200, buf_view(&b));
}

static void respond_pb(struct list_job *j)
{
    struct request *r = j->r;
    bool partial = r->shape == SHAPE_PARTIAL;
    struct metav1_list_meta m = {0};
    CLEANUP(pb_out_fini) struct pb_out o;
    list_meta(j, &m);
    pb_out_init(&o, SIZE_MAX / 4);
    pb_envelope_tail(&o);
    size_t start = pb_out_len(&o);
    for (size_t i = j->items.n; i-- > 0;) {
        size_t mark = pb_out_len(&o);
        if (partial) {
            struct metav1_partial_object_metadata p = {0};
            item_meta(r->arena, j->items.v[i], &p.metadata);
            desc_encode_pb(&metav1_partial_object_metadata_desc, &p, &o);
        } else if (r->res == r->res->hub) {
            struct str raw = item_pb(j->items.v[i], r->res->desc);
            pb_put_raw(&o, raw.p, raw.n);
        } else {
            desc_encode_pb(r->res->desc, item_in_version(r, j->items.v[i])->typed, &o);
        }
        pb_put_message_header(&o, 2, mark);
    }
    size_t mark = pb_out_len(&o);
    desc_encode_pb(&metav1_list_meta_desc, &m, &o);
    pb_put_message_header(&o, 1, mark);
    pb_envelope_head(&o, start, partial ? STR("meta.k8s.io/v1") : r->res->api_version,
                     partial ? STR("PartialObjectMetadataList") : r->res->list_kind);
    respond_text(r, 200, "application/vnd.kubernetes.protobuf", pb_out_view(&o));
}

static void respond_table(struct list_job *j)
{
    struct request *r = j->r;
    struct metav1_list_meta m = {0};
    list_meta(j, &m);
    const struct object **objs = arena_array(r->arena, j->items.n, const struct object *);
    for (size_t i = 0; i < j->items.n; i++)
        objs[i] = item_in_version(r, j->items.v[i]);
    table_respond(r, 200, objs, j->items.n, &m);
}

static int list_collect(struct list_job *j)
{
    struct request *r = j->r;
    struct store *s = r->server->store;
    rev_t rev;
    int rc = request_revision(r, &rev);
    if (rc < 0 || (rc = check_match(r)) < 0 || (rc = selection_init(&j->sel, r)) < 0)
        return rc;
    if (rev > store_revision(s))
        return too_new(r, rev, store_revision(s));
    j->range.prefix = selection_prefix(&j->sel, r);
    if (str_eq(r->opts.resource_version_match, STR("Exact")) ||
        (rev && !r->opts.resource_version_match.n && r->opts.limit))
        j->range.at = rev;
    if (r->opts.continue_token.n && (rc = read_token(j)) < 0)
        return rc;
    j->rev = j->range.at ? j->range.at : store_revision(s);
    return store_each(s, &j->range, collect, j);
}

void verb_list(struct request *r)
{
    struct list_job j = {.r = r};
    int rc = list_collect(&j);
    if (rc == -ERR_EXPIRED)
        respond_expired(&j);
    else if (rc < 0 && r->err.code == ERR_NONE)
        respond_errorf(r, (enum err_code) - rc, "list failed");
    else if (rc < 0)
        respond_error(r);
    else if (r->shape == SHAPE_TABLE)
        respond_table(&j);
    else if (r->out == FORMAT_PB && r->res->desc)
        respond_pb(&j);
    else if (r->shape == SHAPE_OBJECT && r->out != FORMAT_YAML && !r->opts.pretty && !r->gzip &&
             r->res == r->res->hub && j.bytes > LIST_WHOLE_BYTES_MAX) {
        respond_stream(&j);
        return; /* the items are the stream's now */
    } else
        respond_json(&j);
    job_drop(&j);
}
