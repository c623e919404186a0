/* SPDX-License-Identifier: Apache-2.0 */
/* JSON trees to YAML text, by libyaml's emitter, in the styles that go-yaml v2 chooses. */
#include "codec/yaml.h"

#include <limits.h>
#include <yaml.h>

#include "codec/utf8.h"
#include "codec/yaml_scalar.h"

enum { SCRATCH_BYTES_MAX = 1 << 20 };

struct writer {
    yaml_emitter_t emitter;
    struct buf *to;
    struct buf digits; /* for yaml_resolve */
    bool failed;
};

static int append(void *arg, unsigned char *p, size_t n)
{
    struct writer *w = arg;
    buf_add(w->to, p, n);
    return !w->to->failed;
}

/* Takes the event; made tells whether it could be made. */
static void emit(struct writer *w, int made, yaml_event_t *event)
{
    if (made && w->failed)
        yaml_event_delete(event);
    else if (!made || !yaml_emitter_emit(&w->emitter, event))
        w->failed = true;
}

static void emit_scalar(struct writer *w, struct str s, yaml_scalar_style_t style)
{
    yaml_event_t event;
    int made =
        s.n <= INT_MAX && yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)s.p,
                                                       (int)s.n, 1, 1, style);
    emit(w, made, &event);
}

/* Would it be read as something else when it is not quoted? */
static bool needs_quotes(struct writer *w, struct str s)
{
    return yaml_resolve(s, &w->digits).kind != YAML_STRING || yaml_is_base60(s) || str_eqz(s, "<<");
}

static yaml_scalar_style_t style_of(struct writer *w, struct str s)
{
    if (str_index(s, '\n') >= 0)
        return YAML_LITERAL_SCALAR_STYLE;
    return needs_quotes(w, s) ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
}

static void write_valid_string(struct writer *w, struct str s)
{
    emit_scalar(w, s.p ? s : STR(""), style_of(w, s));
}

static void write_string(struct writer *w, struct str s)
{
    if (str_is_utf8(s)) {
        write_valid_string(w, s);
        return;
    }
    CLEANUP(buf_fini) struct buf valid = BUF_INIT(w->to->cap);
    utf8_put_valid(&valid, s);
    w->failed |= valid.failed;
    write_valid_string(w, buf_view(&valid));
}

static bool is_integer(struct str number)
{
    for (size_t i = 0; i < number.n; i++)
        if (number.p[i] == '.' || (number.p[i] | 0x20) == 'e')
            return false;
    return true;
}

static void write_number(struct writer *w, struct str number)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB(1));
    double v;
    if (!is_integer(number) && json_number_double(number, &v)) {
        yaml_put_float(&text, v, false);
        number = buf_view(&text);
    }
    emit_scalar(w, number, YAML_PLAIN_SCALAR_STYLE);
}

static void write_value(struct writer *w, const struct json *v);

static void write_array(struct writer *w, const struct json *v)
{
    yaml_event_t event;
    emit(w, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE),
         &event);
    for (size_t i = 0; i < v->array.n && !w->failed; i++)
        write_value(w, v->array.v[i]);
    emit(w, yaml_sequence_end_event_initialize(&event), &event);
}

static void write_object(struct writer *w, const struct json *v)
{
    yaml_event_t event;
    emit(w, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE),
         &event);
    for (size_t i = 0; i < v->object.n && !w->failed; i++) {
        write_string(w, v->object.v[i].key);
        write_value(w, v->object.v[i].value);
    }
    emit(w, yaml_mapping_end_event_initialize(&event), &event);
}

static void write_value(struct writer *w, const struct json *v)
{
    switch (v->type) {
    case JSON_NULL: emit_scalar(w, STR("null"), YAML_PLAIN_SCALAR_STYLE); return;
    case JSON_BOOL:
        emit_scalar(w, v->boolean ? STR("true") : STR("false"), YAML_PLAIN_SCALAR_STYLE);
        return;
    case JSON_NUMBER: write_number(w, v->number); return;
    case JSON_STRING: write_string(w, v->string); return;
    case JSON_ARRAY: write_array(w, v); return;
    case JSON_OBJECT: write_object(w, v); return;
    case JSON_BAD: break;
    }
    never("a tree has no bad values");
}

static void write_document(struct writer *w, const struct json *v)
{
    yaml_event_t event;
    emit(w, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event);
    emit(w, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event);
    write_value(w, v);
    w->emitter.open_ended = 0; /* no "..." behind text that ends in empty lines */
    emit(w, yaml_document_end_event_initialize(&event, 1), &event);
    emit(w, yaml_stream_end_event_initialize(&event), &event);
}

void yaml_write(struct buf *b, const struct json *v)
{
    struct writer w = {.to = b, .digits = BUF_INIT(SCRATCH_BYTES_MAX)};
    if (!yaml_emitter_initialize(&w.emitter)) {
        b->failed = true;
        return;
    }
    yaml_emitter_set_output(&w.emitter, append, &w);
    yaml_emitter_set_unicode(&w.emitter, 1);
    write_document(&w, v);
    if (w.failed)
        b->failed = true;
    yaml_emitter_delete(&w.emitter);
    buf_fini(&w.digits);
}
