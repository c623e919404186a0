/* SPDX-License-Identifier: Apache-2.0 */
#include "server/table.h"

#include "server/impl.h"

static const struct column_def default_columns[] = {
    {"Name", "string", "name",
     "Name must be unique within a namespace. It is the key under which the object is known.", 0},
    {"Created At", "date", "", "When the object was made.", 0},
};

struct columns {
    const struct column_def *v;
    size_t n;
};

static struct columns columns_of(const struct resource *res)
{
    if (res->def && res->def->columns)
        return (struct columns){res->def->columns, res->def->n_columns};
    return (struct columns){default_columns, ARRAY_LEN(default_columns)};
}

static void put_columns(struct buf *b, const struct resource *res)
{
    struct columns c = columns_of(res);
    buf_z(b, "\"columnDefinitions\":[");
    for (size_t i = 0; i < c.n; i++) {
        if (i)
            buf_c(b, ',');
        buf_z(b, "{\"name\":");
        json_put_string(b, str_z(c.v[i].name));
        buf_fmt(b, ",\"type\":\"%s\",\"format\":\"%s\",\"description\":", c.v[i].type,
                c.v[i].format);
        json_put_string(b, str_z(c.v[i].description));
        buf_fmt(b, ",\"priority\":%d}", c.v[i].priority);
    }
    buf_z(b, "],");
}

static void print_default(struct print_row *row, const struct object *o)
{
    char text[WALL_TEXT_MAX];
    cell_str(row, o->meta->name);
    wall_format(text, o->meta->creation_timestamp);
    cell_z(row, text);
}

/* What each row carries besides its cells: metadata (the default), the object, or nothing. */
static void put_row_object(struct request *r, struct buf *b, const struct object *o)
{
    struct str include = r->opts.include_object;
    if (str_eq(include, STR("None"))) {
        buf_z(b, "null");
        return;
    }
    if (str_eq(include, STR("Object"))) {
        object_encode(o, b, NULL);
        return;
    }
    struct metav1_partial_object_metadata p = {.kind = STR("PartialObjectMetadata"),
                                               .metadata = *o->meta};
    p.api_version = arena_cat(r->arena, STR("meta.k8s.io/"), r->table_version);
    desc_encode_json(&metav1_partial_object_metadata_desc, &p, b);
}

static void put_row(struct request *r, struct buf *b, const struct object *o)
{
    struct print_row row = {.arena = r->arena, .now = loop_wall(r->server->loop)};
    const struct resource_def *def = o->res->def;
    if (def && def->print)
        def->print(&row, o->typed);
    else
        print_default(&row, o);
    must(row.cells.n == columns_of(o->res).n);
    buf_z(b, "{\"cells\":[");
    for (size_t i = 0; i < row.cells.n; i++) {
        if (i)
            buf_c(b, ',');
        buf_str(b, row.cells.v[i]);
    }
    buf_c(b, ']');
    if (row.completed_reason.n) {
        buf_z(b, ",\"conditions\":[{\"type\":\"Completed\",\"status\":\"True\",\"reason\":");
        json_put_string(b, row.completed_reason);
        buf_z(b, ",\"message\":");
        json_put_string(b, row.completed_message);
        buf_z(b, "}]");
    }
    buf_z(b, ",\"object\":");
    put_row_object(r, b, o);
    buf_c(b, '}');
}

static void put_head(struct request *r, struct buf *b, const struct metav1_list_meta *meta)
{
    buf_fmt(b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%.*s\",\"metadata\":",
            STR_ARG(r->table_version));
    desc_encode_json(&metav1_list_meta_desc, meta, b);
    buf_c(b, ',');
}

void table_respond(struct request *r, int status, const struct object *const *objs, size_t n,
                   const struct metav1_list_meta *list_meta)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(SIZE_MAX / 4);
    struct metav1_list_meta meta = {0};
    if (list_meta)
        meta = *list_meta;
    else if (n)
        meta.resource_version = objs[0]->meta->resource_version;
    put_head(r, &b, &meta);
    put_columns(&b, r->res);
    buf_z(&b, "\"rows\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_c(&b, ',');
        put_row(r, &b, objs[i]);
    }
    buf_z(&b, "]}\n");
    if (r->out == FORMAT_PB)
        r->out = FORMAT_JSON;
    respond_json_text(r, status, buf_view(&b));
}

struct str table_event(struct request *r, const struct object *o, bool with_columns)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    struct metav1_list_meta meta = {.resource_version = o->meta->resource_version};
    put_head(r, &b, &meta);
    if (with_columns)
        put_columns(&b, r->res);
    else
        buf_z(&b, "\"columnDefinitions\":null,");
    buf_z(&b, "\"rows\":[");
    put_row(r, &b, o);
    buf_z(&b, "]}");
    return buf_to_arena(&b, r->arena);
}

struct str table_bookmark(struct request *r, struct str resource_version)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
    struct metav1_list_meta meta = {.resource_version = resource_version};
    put_head(r, &b, &meta);
    buf_z(&b, "\"columnDefinitions\":null,\"rows\":[]}");
    return buf_to_arena(&b, r->arena);
}
