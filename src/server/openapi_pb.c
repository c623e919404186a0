/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The v2 document in gnostic's protobuf form (openapi.v2.Document), which kubectl before 1.27 and
 * many client libraries ask for. Field numbers are those of gnostic's OpenAPIv2.proto. Everything
 * is written last first (codec/pb.h).
 */
#include "codec/yaml.h"
#include "server/openapi.h"

static void put_text(struct pb_out *o, uint32_t field, const struct json *v)
{
    struct str s = json_str(v);
    if (s.n)
        pb_put_bytes_field(o, field, s);
}

static void put_flag(struct pb_out *o, uint32_t field, const struct json *v)
{
    if (!v || v->type != JSON_BOOL || !v->boolean)
        return;
    pb_put_varint(o, 1);
    pb_put_tag(o, field, PB_VARINT);
}

/* Any {1 google.protobuf.Any, 2 yaml} */
static void put_any(struct pb_out *o, uint32_t field, const struct json *v)
{
    size_t mark = pb_out_len(o);
    CLEANUP(buf_fini) struct buf yaml = BUF_INIT(MIB(1));
    json_write(&yaml, v); /* JSON is YAML */
    buf_c(&yaml, '\n');
    pb_put_bytes_field(o, 2, buf_view(&yaml));
    pb_put_message_header(o, field, mark);
}

/* repeated NamedAny {1 name, 2 value} for members whose name starts with "x-" */
static void put_extensions(struct pb_out *o, uint32_t field, const struct json *object)
{
    for (size_t i = object->object.n; i-- > 0;) {
        const struct json_member *m = &object->object.v[i];
        if (!str_has_prefix(m->key, STR("x-")))
            continue;
        size_t mark = pb_out_len(o);
        put_any(o, 2, m->value);
        pb_put_bytes_field(o, 1, m->key);
        pb_put_message_header(o, field, mark);
    }
}

static void put_strings(struct pb_out *o, uint32_t field, const struct json *array)
{
    for (size_t i = array ? array->array.n : 0; i-- > 0;)
        pb_put_bytes_field(o, field, json_str(array->array.v[i]));
}

static void put_schema(struct pb_out *o, const struct json *s);

static void put_schema_field(struct pb_out *o, uint32_t field, const struct json *s)
{
    size_t mark = pb_out_len(o);
    put_schema(o, s);
    pb_put_message_header(o, field, mark);
}

/* NamedSchema {1 name, 2 value} for each member */
static void put_named_schemas(struct pb_out *o, const struct json *object)
{
    for (size_t i = object->object.n; i-- > 0;) {
        size_t mark = pb_out_len(o);
        put_schema_field(o, 2, object->object.v[i].value);
        pb_put_bytes_field(o, 1, object->object.v[i].key);
        pb_put_message_header(o, 1, mark);
    }
}

static void put_schema(struct pb_out *o, const struct json *s)
{
    const struct json *v;
    size_t mark;
    put_extensions(o, 31, s);
    if ((v = json_getz(s, "properties"))) {
        mark = pb_out_len(o);
        put_named_schemas(o, v);
        pb_put_message_header(o, 25, mark);
    }
    if ((v = json_getz(s, "items"))) {
        mark = pb_out_len(o);
        put_schema_field(o, 1, v);
        pb_put_message_header(o, 23, mark);
    }
    if ((v = json_getz(s, "type"))) {
        mark = pb_out_len(o);
        pb_put_bytes_field(o, 1, json_str(v));
        pb_put_message_header(o, 22, mark);
    }
    if ((v = json_getz(s, "additionalProperties")) && v->type == JSON_OBJECT) {
        mark = pb_out_len(o);
        put_schema_field(o, 1, v);
        pb_put_message_header(o, 21, mark);
    }
    if ((v = json_getz(s, "enum")))
        for (size_t i = v->array.n; i-- > 0;)
            put_any(o, 20, v->array.v[i]);
    put_strings(o, 19, json_getz(s, "required"));
    if ((v = json_getz(s, "default")))
        put_any(o, 5, v);
    put_text(o, 4, json_getz(s, "description"));
    put_text(o, 2, json_getz(s, "format"));
    put_text(o, 1, json_getz(s, "$ref"));
}

/* ---- operations ---- */

/* NonBodyParameter {3 query | 4 path}; the sub-schemas share the numbers used here: 1 required,
 * 2 in, 3 description, 4 name, and the type at 6 (query, after allow_empty_value 5) or 5 (path). */
static void put_plain_param(struct pb_out *o, const struct json *p)
{
    bool query = str_eq(json_str(json_getz(p, "in")), STR("query"));
    size_t outer = pb_out_len(o), inner = outer;
    put_text(o, query ? 6 : 5, json_getz(p, "type"));
    put_text(o, 4, json_getz(p, "name"));
    put_text(o, 3, json_getz(p, "description"));
    put_text(o, 2, json_getz(p, "in"));
    put_flag(o, 1, json_getz(p, "required"));
    pb_put_message_header(o, query ? 3 : 4, inner);
    pb_put_message_header(o, 2, outer);
}

/* BodyParameter {1 description, 2 name, 3 in, 4 required, 5 schema} */
static void put_body_param(struct pb_out *o, const struct json *p)
{
    size_t mark = pb_out_len(o);
    put_schema_field(o, 5, json_getz(p, "schema"));
    put_flag(o, 4, json_getz(p, "required"));
    put_text(o, 3, json_getz(p, "in"));
    put_text(o, 2, json_getz(p, "name"));
    pb_put_message_header(o, 1, mark);
}

/* repeated ParametersItem {1 Parameter {1 body, 2 non-body}} */
static void put_params(struct pb_out *o, uint32_t field, const struct json *params)
{
    for (size_t i = params ? params->array.n : 0; i-- > 0;) {
        const struct json *p = params->array.v[i];
        size_t item = pb_out_len(o), param = item;
        if (json_getz(p, "schema"))
            put_body_param(o, p);
        else
            put_plain_param(o, p);
        pb_put_message_header(o, 1, param);
        pb_put_message_header(o, field, item);
    }
}

/* Responses {1 repeated NamedResponseValue {1 name, 2 ResponseValue {1 Response}}};
 * Response {1 description, 2 SchemaItem {1 schema}} */
static void put_responses(struct pb_out *o, const struct json *responses)
{
    for (size_t i = responses->object.n; i-- > 0;) {
        const struct json *r = responses->object.v[i].value, *schema = json_getz(r, "schema");
        size_t named = pb_out_len(o), value = named, response = named;
        if (schema) {
            size_t item = pb_out_len(o);
            put_schema_field(o, 1, schema);
            pb_put_message_header(o, 2, item);
        }
        put_text(o, 1, json_getz(r, "description"));
        pb_put_message_header(o, 1, response);
        pb_put_message_header(o, 2, value);
        pb_put_bytes_field(o, 1, responses->object.v[i].key);
        pb_put_message_header(o, 1, named);
    }
}

/* Operation {1 tags, 5 operation_id, 8 parameters, 9 responses, 13 vendor_extension} */
static void put_operation(struct pb_out *o, uint32_t field, const struct json *op)
{
    size_t mark = pb_out_len(o);
    if (!op)
        return;
    put_extensions(o, 13, op);
    size_t responses = pb_out_len(o);
    put_responses(o, json_getz(op, "responses"));
    pb_put_message_header(o, 9, responses);
    put_params(o, 8, json_getz(op, "parameters"));
    put_text(o, 5, json_getz(op, "operationId"));
    put_strings(o, 1, json_getz(op, "tags"));
    pb_put_message_header(o, field, mark);
}

/* PathItem {2 get, 3 put, 4 post, 5 delete, 8 patch, 9 parameters} */
static void put_path(struct pb_out *o, const struct json *p)
{
    put_params(o, 9, json_getz(p, "parameters"));
    put_operation(o, 8, json_getz(p, "patch"));
    put_operation(o, 5, json_getz(p, "delete"));
    put_operation(o, 4, json_getz(p, "post"));
    put_operation(o, 3, json_getz(p, "put"));
    put_operation(o, 2, json_getz(p, "get"));
}

void openapi_pb(struct pb_out *o, const struct json *doc)
{
    const struct json *definitions = json_getz(doc, "definitions"),
                      *paths = json_getz(doc, "paths");
    const struct json *info = json_getz(doc, "info");
    size_t mark = pb_out_len(o);
    put_named_schemas(o, definitions);
    pb_put_message_header(o, 9, mark);
    mark = pb_out_len(o);
    for (size_t i = paths->object.n; i-- > 0;) {
        size_t named = pb_out_len(o), value = named;
        put_path(o, paths->object.v[i].value);
        pb_put_message_header(o, 2, value);
        pb_put_bytes_field(o, 1, paths->object.v[i].key);
        pb_put_message_header(o, 2, named);
    }
    pb_put_message_header(o, 8, mark);
    mark = pb_out_len(o);
    put_text(o, 2, json_getz(info, "version"));
    put_text(o, 1, json_getz(info, "title"));
    pb_put_message_header(o, 2, mark);
    put_text(o, 1, json_getz(doc, "swagger"));
}
