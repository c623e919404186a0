#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles schema/*.api into C: one header and one source per package, and the registry.

    schemagen.py OUTDIR FILE.api...

writes OUTDIR/<package>.h, OUTDIR/<package>.c and OUTDIR/registry.c. The language is described in
schema/README.md. What this program does not understand is an error with file and line.
"""

import os
import re
import sys

SCALARS = {  # schema word: (C type of one value, field kind, Go's name in messages)
    'string': ('struct str', 'FK_STRING'),
    'bytes': ('struct str', 'FK_BYTES'),
    'bool': ('bool', 'FK_BOOL'),
    'int32': ('int32_t', 'FK_INT32'),
    'int64': ('int64_t', 'FK_INT64'),
    'uint32': ('uint32_t', 'FK_UINT32'),
    'uint64': ('uint64_t', 'FK_UINT64'),
    'double': ('double', 'FK_DOUBLE'),
    'time': ('struct wall', 'FK_TIME'),
    'microtime': ('struct wall', 'FK_MICROTIME'),
    'duration': ('int64_t', 'FK_DURATION'),
    'quantity': ('struct quantity', 'FK_QUANTITY'),
    'intorstring': ('struct intstr', 'FK_INTSTR'),
    'raw': ('struct str', 'FK_RAW'),
    'json': ('struct str', 'FK_RAW'),
    'fields': ('struct str', 'FK_RAW'),
    'any': ('struct str', 'FK_RAW'),
    'strings': ('struct str_list', 'FK_STRINGS'),
}
# Kinds whose absence shows in the value itself: a pointer to them is the value.
SELF_NULL = {'FK_STRING', 'FK_BYTES', 'FK_RAW', 'FK_QUANTITY'}
MAPS = {'FK_STRING': 'struct str_map', 'FK_BYTES': 'struct str_map', 'FK_QUANTITY':
        'struct quantity_map', 'FK_TIME': 'struct time_map', 'FK_STRINGS': 'struct strings_map'}
ENCODINGS = {'schema-or-bool': 'ENC_SCHEMA_OR_BOOL', 'schema-or-array': 'ENC_SCHEMA_OR_ARRAY',
             'schema-or-strings': 'ENC_SCHEMA_OR_STRINGS'}
C_WORDS = set('''auto break case char const continue default do double else enum extern float for
goto if inline int long register restrict return short signed sizeof static struct switch typedef
union unsigned void volatile while bool true false linux unix operator'''.split())
VERBS = 'create delete deletecollection get list patch update watch'.split()


class SchemaError(Exception):
    pass


def snake(name):
    """serviceAccountName -> service_account_name, clusterIPs -> cluster_ips"""
    name = name.lstrip('$').replace('-', '_').replace('.', '_')
    name = re.sub(r'([A-Z])([A-Z]+)s(?=[A-Z]|$)', lambda m: m[1] + m[2].lower() + 's', name)
    name = re.sub(r'([A-Z]+)([A-Z][a-z])', r'\1_\2', name)
    name = re.sub(r'([a-z0-9])([A-Z])', r'\1_\2', name).lower()
    name = re.sub(r'_+', '_', name)
    return name + '_' if name in C_WORDS else name


def c_string(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n') + '"'


def c_vector(words):
    return '(const char *const[]){%s, NULL}' % ', '.join(c_string(w) for w in words)


class Field:
    def __init__(self, name, word, number, flags, where):
        self.name, self.word, self.number, self.flags, self.where = name, word, number, flags, where
        self.doc = ''
        self.inline = False
        self.shape, self.base = 'SHAPE_ONE', word
        for prefix, shape in (('[]', 'SHAPE_LIST'), ('*', 'SHAPE_PTR'), ('map:', 'SHAPE_MAP')):
            if word.startswith(prefix):
                self.shape, self.base = shape, word[len(prefix):]
        self.kind = self.c_type = self.message = self.enum = None


class Type:
    def __init__(self, name, package, flags):
        self.name, self.package, self.flags = name, package, flags
        self.fields, self.doc = [], ''
        self.c = 'struct %s_%s' % (package.name, snake(name))
        self.sym = '%s_%s_desc' % (package.name, snake(name))


class Resource:
    def __init__(self, plural, kind, package):
        self.plural, self.kind, self.package = plural, kind, package
        self.singular, self.namespaced = kind.lower(), False
        self.short, self.categories, self.verbs = [], [], list(VERBS)
        self.subresources, self.select, self.columns = [], [], []
        self.hooks = False
        self.flags = set()


class Service:
    def __init__(self, name):
        self.name, self.rpcs = name, []  # (name, request, response, server streams)


class Package:
    def __init__(self, path):
        self.path, self.name, self.group, self.version = path, None, '', ''
        self.proto3 = False
        self.uses, self.enums, self.types, self.resources = [], {}, {}, []
        self.services = []


def parse_flags(words, where):
    flags = {}
    for word in words:
        key, _, value = word.partition('=')
        if key not in ('required', 'always', 'omitempty-required', 'omitzero', 'list', 'map',
                       'struct', 'patch', 'default', 'oneof'):
            raise SchemaError('%s: unknown field word "%s"' % (where, word))
        flags[key] = value
    return flags


def parse_resource_line(res, words, where):
    key, rest = words[0], words[1:]
    if key == 'namespaced':
        res.namespaced = True
    elif key == 'singular':
        res.singular = rest[0]
    elif key in ('short', 'categories', 'verbs'):
        setattr(res, key, rest)
    elif key == 'subresource':  # name Kind verbs...
        res.subresources.append((rest[0], rest[1], rest[2:]))
    elif key == 'select':
        res.select += rest
    elif key == 'hooks':
        res.hooks = True
    elif key in ('virtual', 'volatile'):
        res.flags.add(key)
    elif key == 'column':  # "Name" type format priority description
        m = re.match(r'column "([^"]+)" (\w+) (\S+) (\d+)\s*(.*)$', ' '.join(words))
        if not m:
            raise SchemaError('%s: column "Name" type format priority description' % where)
        res.columns.append(m.groups())
    else:
        raise SchemaError('%s: unknown resource word "%s"' % (where, key))


def parse(path):
    package = Package(path)
    block, last = None, None
    with open(path, encoding='utf-8') as f:
        lines = f.read().split('\n')
    for i, line in enumerate(lines, 1):
        where = '%s:%d' % (path, i)
        text = line.strip()
        if not text or text.startswith('#'):
            continue
        indent = len(line) - len(line.lstrip())
        words = text.split()
        if indent == 0:
            block = last = parse_top(package, words, text, where)
        elif isinstance(block, Resource):
            parse_resource_line(block, words, where)
        elif isinstance(block, Service):
            if words[0] != 'rpc' or len(words) not in (4, 5):
                raise SchemaError('%s: rpc Name Request Response [stream]' % where)
            block.rpcs.append((words[1], words[2], words[3], len(words) == 5))
        elif isinstance(block, Type) and indent == 4:
            last = parse_field(block, words, where)
        elif isinstance(block, Type) and indent == 8:
            last.doc = (last.doc + ' ' + text).strip()
        else:
            raise SchemaError('%s: unexpected indentation' % where)
    return package


def parse_top(package, words, text, where):
    key = words[0]
    if key == 'package':
        package.name = words[1]
    elif key == 'group':
        package.group = words[1].strip('"')
    elif key == 'version':
        package.version = words[1]
    elif key == 'proto3':
        package.proto3 = True
    elif key == 'use':
        package.uses.append(words[1])
    elif key == 'enum':
        m = re.match(r'enum (\w+)( open)? = (.*)$', text)
        if not m:
            raise SchemaError('%s: enum Name [open] = a | b' % where)
        values = [v.strip().strip('"') for v in m.group(3).split('|')]
        package.enums[m.group(1)] = (values, not m.group(2))
    elif key == 'type':
        t = Type(words[1], package, words[2:])
        if t.name in package.types:
            raise SchemaError('%s: type %s is there twice' % (where, t.name))
        package.types[t.name] = t
        return t
    elif key == 'service':
        s = Service(words[1])
        package.services.append(s)
        return s
    elif key == 'resource':
        r = Resource(words[1], words[2], package)
        package.resources.append(r)
        return r
    else:
        raise SchemaError('%s: unknown word "%s"' % (where, key))
    return None


def parse_field(t, words, where):
    if len(words) == 1 or not (words[2:] and re.match(r'^(\d+|-)$', words[2])):
        raise SchemaError('%s: a field is: name type number words...' % where)
    number = 0 if words[2] == '-' else int(words[2])
    field = Field(words[0], words[1], number, parse_flags(words[3:], where), where)
    field.inline = words[0] == 'inline'
    t.fields.append(field)
    return field


class Schema:
    def __init__(self, paths):
        self.packages = {}
        for path in paths:
            p = parse(path)
            self.packages[p.name] = p
        for p in self.packages.values():
            for t in p.types.values():
                self.check_type(p, t)
        for p in self.packages.values():
            for t in p.types.values():
                t.has_defaults = self.has_defaults(t, set())

    def check_type(self, p, t):
        numbers, names = {}, {}
        for f in t.fields:
            self.resolve(p, f)
            if f.number:
                if f.number in numbers:
                    raise SchemaError('%s: number %d is used twice' % (f.where, f.number))
                numbers[f.number] = f
            if not f.inline:
                if f.name in names:
                    raise SchemaError('%s: name %s is used twice' % (f.where, f.name))
                names[f.name] = f

    def find(self, p, word):
        package, _, name = word.rpartition('.')
        target = self.packages.get(package) if package else p
        if target is None:
            return None, None, None
        return target, target.types.get(name), target.enums.get(name)

    def resolve(self, p, f):
        if f.base in SCALARS:
            f.c_type, f.kind = SCALARS[f.base]
            return
        _, message, enum = self.find(p, f.base)
        if enum and p.proto3:
            f.c_type, f.kind, f.enum = 'int32_t', 'FK_INT32', None
        elif enum:
            f.c_type, f.kind, f.enum = 'struct str', 'FK_STRING', enum
        elif message:
            f.c_type, f.kind, f.message = message.c, 'FK_MESSAGE', message
        else:
            raise SchemaError('%s: unknown type "%s"' % (f.where, f.base))

    def has_defaults(self, t, seen):
        if t.sym in seen:
            return False
        seen.add(t.sym)
        return any('default' in f.flags or (f.message and self.has_defaults(f.message, seen))
                   for f in t.fields)


def c_member(f):
    """The C declaration of one field, without the semicolon."""
    name = snake(f.name)
    if f.shape == 'SHAPE_LIST':
        if f.kind == 'FK_STRING':
            return 'struct str_list %s' % name
        return 'LIST(%s) %s' % (f.c_type, name)
    if f.shape == 'SHAPE_MAP':
        if f.kind == 'FK_MESSAGE':
            return '%s_map %s' % (f.message.c, name)
        if f.kind not in MAPS:
            raise SchemaError('%s: no map of %s' % (f.where, f.base))
        return '%s %s' % (MAPS[f.kind], name)
    if f.shape == 'SHAPE_PTR' and f.kind not in SELF_NULL:
        return '%s *%s' % (f.c_type, name)
    return '%s %s' % (f.c_type, name)


def struct_lines(t, indent):
    lines = []
    pad = '    ' * indent
    for f in t.fields:
        if f.doc and indent == 1:
            lines.append('%s/* %s */' % (pad, f.doc.replace('*/', '* /')))
        if f.inline and f.number == 0:
            lines += struct_lines(f.message, indent)
        elif f.inline:
            lines.append('%sunion {' % pad)
            lines.append('%s    %s %s;' % (pad, f.message.c, snake(f.message.name)))
            lines.append('%s    struct {' % pad)
            lines += struct_lines(f.message, indent + 2)
            lines.append('%s    };' % pad)
            lines.append('%s};' % pad)
        else:
            lines.append('%s%s;' % (pad, c_member(f)))
    return lines


def by_value_order(package):
    """Types in an order in which each comes after those it holds by value."""
    done, order = set(), []

    def visit(t):
        if t.name in done:
            return
        done.add(t.name)
        for f in t.fields:
            if f.message and f.message.package is package and f.shape == 'SHAPE_ONE':
                visit(f.message)
        order.append(t)
    for t in package.types.values():
        visit(t)
    return order


def map_messages(schema):
    """Types that are the value of some map."""
    found = {}
    for p in schema.packages.values():
        for t in p.types.values():
            for f in t.fields:
                if f.shape == 'SHAPE_MAP' and f.kind == 'FK_MESSAGE':
                    found[f.message.sym] = f.message
    return found


def write_header(package, mapped):
    out = ['/* Generated by tools/schemagen.py from %s. */' % os.path.basename(package.path),
           '#ifndef BARQUE_API_%s_H' % package.name.upper(),
           '#define BARQUE_API_%s_H' % package.name.upper(), '', '#include "api/desc.h"']
    out += ['#include "api/%s.h"' % u for u in package.uses]
    out.append('')
    if package.proto3:
        for name, (values, _) in package.enums.items():
            out.append('enum %s_%s {' % (package.name, snake(name)))
            for v in values:
                const, _, number = v.partition(':')
                out.append('    %s_%s = %s,' % (package.name.upper(), const, number))
            out.append('};')
    for t in package.types.values():
        out.append('%s;' % t.c)
    for t in package.types.values():
        if t.sym in mapped:
            out += ['struct %s_%s_map {' % (package.name, snake(t.name)),
                    '    struct %s_%s_pair *v;' % (package.name, snake(t.name)), '    size_t n;',
                    '};']
    for t in by_value_order(package):
        out.append('')
        if t.doc:
            out.append('/* %s */' % t.doc)
        out.append('%s {' % t.c)
        out += struct_lines(t, 1) or ['    char unused_;']
        out.append('};')
        if t.sym in mapped:
            out += ['struct %s_%s_pair {' % (package.name, snake(t.name)),
                    '    struct str key;', '    %s value;' % t.c, '};']
        out.append('extern const struct desc %s;' % t.sym)
    if package.services:
        out += ['', 'enum %s_method {' % package.name]
        out += ['    %s_%s,' % (package.name.upper(), snake(rpc[0]).upper())
                for s in package.services for rpc in s.rpcs]
        out += ['    %s_METHOD_COUNT,' % package.name.upper(), '};',
                '/* Indexed by enum %s_method. */' % package.name,
                'extern const struct rpc_def %s_rpcs[];' % package.name]
    out += ['', '#endif', '']
    return '\n'.join(out)


def flatten(t, prefix=''):
    """JSON fields with their C member path: inlined types' fields in place."""
    for f in t.fields:
        if not f.inline:
            yield f, prefix + snake(f.name), bool(prefix)
            continue
        # Inlined without a number (TypeMeta): in JSON only, so flat as well.
        yield from ((g, m, True) for g, m, _ in
                    flatten(f.message, prefix if f.number == 0 else
                            prefix + snake(f.message.name) + '.'))


def ext_of(f):
    parts = []
    if 'default' in f.flags:
        parts.append('.default_text = %s' % c_string(f.flags['default']))
    if f.enum:
        parts.append('.enum_values = %s, .enum_closed = %s' %
                     (c_vector(f.enum[0]), 'true' if f.enum[1] else 'false'))
    if 'list' in f.flags:
        kind, _, keys = f.flags['list'].partition(':')
        if kind not in ('atomic', 'set', 'map'):
            raise SchemaError('%s: list=%s' % (f.where, kind))
        parts.append('.list_type = LIST_%s' % kind.upper())
        if keys:
            parts.append('.map_keys = %s' % c_vector(keys.split(',')))
    if 'patch' in f.flags:
        strategy, _, key = f.flags['patch'].partition(':')
        for word in strategy.split(','):
            if word not in ('merge', 'retainKeys', 'replace'):
                raise SchemaError('%s: patch=%s' % (f.where, word))
            parts.append('.patch_%s = true' % snake(word))
        if key:
            parts.append('.patch_merge_key = %s' % c_string(key))
    if f.flags.get('map') == 'atomic':
        parts.append('.map_atomic = true')
    if f.flags.get('struct') == 'atomic':
        parts.append('.struct_atomic = true')
    return '&(const struct field_ext){%s}' % ', '.join(parts) if parts else 'NULL'


def flag_words(f, flat):
    words = []
    if 'required' in f.flags or 'always' in f.flags:
        words.append('FIELD_ALWAYS')
    if 'required' in f.flags or 'omitempty-required' in f.flags:
        words.append('FIELD_REQUIRED')
    if 'omitzero' in f.flags:
        words.append('FIELD_OMITZERO')
    if flat:
        words.append('FIELD_FLAT')
    if f.inline:
        words.append('FIELD_INLINE')
    if 'oneof' in f.flags:
        words.append('FIELD_ONEOF')
    if 'default' in f.flags or (f.message and f.message.has_defaults):
        words.append('FIELD_DEFAULTS')
    return ' | '.join(words) or '0'


def field_row(t, f, member, flat):
    return '    {%s, %s, %s, %s, offsetof(%s, %s), %d, %s, %s, %s},' % (
        c_string(f.name), '&' + f.message.sym if f.message else 'NULL', ext_of(f),
        c_string(f.doc), t.c, member, f.number, f.kind, f.shape, flag_words(f, flat))


def desc_lines(t, mapped):
    base = t.sym[:-len('_desc')]
    json_rows = list(flatten(t))
    inlined = [(f, snake(f.message.name), False) for f in t.fields if f.inline and f.number]
    rows = json_rows + inlined
    out = []
    if rows:
        out.append('static const struct field %s_fields[] = {' % base)
        out += [field_row(t, f, m, flat) for f, m, flat in rows]
        out.append('};')
        by_name = sorted(range(len(json_rows)), key=lambda i: json_rows[i][0].name.encode())
        names = [json_rows[i][0].name for i in by_name]
        if len(set(names)) != len(names):
            raise SchemaError('%s: a name is inlined twice' % t.name)
        numbered = sorted((i for i, (f, _, flat) in enumerate(rows) if f.number and not flat),
                          key=lambda i: rows[i][0].number)
        out.append('static const uint8_t %s_names[] = {%s};' %
                   (base, ', '.join(map(str, by_name)) or '0'))
        out.append('static const uint8_t %s_numbers[] = {%s};' %
                   (base, ', '.join(map(str, numbered)) or '0'))
    out.append('const struct desc %s = {' % t.sym)
    out.append('    .name = %s, .package = %s, .doc = %s,' %
               (c_string(t.name), c_string(t.package.name), c_string(t.doc)))
    if rows:
        out.append('    .fields = %s_fields, .by_name = %s_names, .by_number = %s_numbers,' %
                   (base, base, base))
        out.append('    .n_json = %d, .n_inline = %d, .n_number = %d,' %
                   (len(json_rows), len(inlined), len(numbered)))
    out.append('    .size = sizeof(%s),' % t.c)
    if t.sym in mapped:
        pair = 'struct %s_%s_pair' % (t.package.name, snake(t.name))
        out.append('    .map_value_at = offsetof(%s, value), .map_entry_size = sizeof(%s),' %
                   (pair, pair))
    words = []
    for word in t.flags:
        key, _, value = word.partition('=')
        if key == 'atomic':
            words.append('.atomic = true')
        elif key == 'encoding' and value in ENCODINGS:
            words.append('.encoding = %s' % ENCODINGS[value])
        else:
            raise SchemaError('%s: unknown type word "%s"' % (t.name, word))
    if t.package.proto3:
        words.append('.proto3 = true')
    if t.has_defaults:
        words.append('.defaults = true')
    if words:
        out.append('    %s,' % ', '.join(words))
    out.append('};')
    return out


def write_source(package, mapped):
    out = ['/* Generated by tools/schemagen.py from %s. */' % os.path.basename(package.path),
           '#include "api/%s.h"' % package.name, '']
    for t in package.types.values():
        out += desc_lines(t, mapped)
    if package.services:
        out.append('const struct rpc_def %s_rpcs[] = {' % package.name)
        for s in package.services:
            for name, request, response, stream in s.rpcs:
                out.append('    {%s, %s, &%s, &%s, %s},' % (
                    c_string('%s.%s.%s' % (package.group, package.version, s.name)),
                    c_string(name), package.types[request].sym, package.types[response].sym,
                    'true' if stream else 'false'))
        out.append('};')
    return '\n'.join(out) + '\n'


def is_kind(t):
    return bool(t.fields) and t.fields[0].inline and t.fields[0].base in ('TypeMeta',
                                                                          'metav1.TypeMeta')


def verb_mask(verbs):
    return ' | '.join('VERB_' + v.upper() for v in verbs) or '0'


def resource_rows(schema, package, res, out):
    t = package.types.get(res.kind)
    lst = package.types.get(res.kind + 'List')
    if t is None:
        raise SchemaError('%s: resource %s: no type %s' % (package.path, res.plural, res.kind))
    base = '%s_%s' % (package.name, snake(res.plural))
    if res.subresources:
        out.append('static const struct subresource_def %s_subs[] = {' % base)
        for name, kind, verbs in res.subresources:
            p, message, _ = schema.find(package, kind)
            if message is None:
                raise SchemaError('%s: subresource %s: no type %s' % (package.path, name, kind))
            out.append('    {%s, %s, %s, %s, &%s, %s},' % (
                c_string(name), c_string(p.group), c_string(p.version), c_string(message.name),
                message.sym, verb_mask(verbs)))
        out.append('};')
    if res.columns:
        out.append('static const struct column_def %s_columns[] = {' % base)
        for name, kind, fmt, priority, doc in res.columns:
            out.append('    {%s, %s, %s, %s, %s},' % (
                c_string(name), c_string(kind), c_string('' if fmt == '-' else fmt),
                c_string(doc), priority))
        out.append('};')
    row = ['.group = %s, .version = %s' % (c_string(package.group), c_string(package.version)),
           '.plural = %s, .singular = %s' % (c_string(res.plural), c_string(res.singular)),
           '.kind = %s, .desc = &%s' % (c_string(res.kind), t.sym),
           '.namespaced = %s' % ('true' if res.namespaced else 'false'),
           '.verbs = %s' % verb_mask(res.verbs)]
    if lst:
        row.append('.list_desc = &%s' % lst.sym)
    for key, member in (('short', 'short_names'), ('categories', 'categories'), ('select', 'select')):
        if getattr(res, key):
            row.append('.%s = %s' % (member, c_vector(getattr(res, key))))
    if res.subresources:
        row.append('.subs = %s_subs, .n_subs = ARRAY_LEN(%s_subs)' % (base, base))
    if res.columns:
        row.append('.columns = %s_columns, .n_columns = ARRAY_LEN(%s_columns)' % (base, base))
        row.append('.print = %s_%s_print' % (package.name, snake(res.kind)))
    for flag in sorted(res.flags):
        row.append('.is_%s = true' % flag)
    if res.hooks:
        row.append('.hooks = &%s_%s_hooks' % (package.name, snake(res.kind)))
    return '    {%s},' % ',\n     '.join(row)


def write_registry(schema):
    out = ['/* Generated by tools/schemagen.py. */', '#include "api/registry.h"',
           '#include "api/printers.h"', '']
    out += ['#include "api/%s.h"' % p for p in schema.packages]
    out.append('')
    for p in schema.packages.values():
        out += ['extern const struct kind_hooks %s_%s_hooks;' % (p.name, snake(r.kind))
                for r in p.resources if r.hooks]
    rows = []
    for p in schema.packages.values():
        rows += [resource_rows(schema, p, r, out) for r in p.resources]
    out.append('const struct resource_def resource_defs[] = {')
    out += rows
    out += ['};', 'const size_t resource_def_count = ARRAY_LEN(resource_defs);', '',
            'const struct kind_def kind_defs[] = {']
    for p in schema.packages.values():
        for t in p.types.values():
            if is_kind(t):
                out.append('    {%s, %s, %s, &%s},' % (c_string(p.group), c_string(p.version),
                                                      c_string(t.name), t.sym))
    out += ['};', 'const size_t kind_def_count = ARRAY_LEN(kind_defs);', '']
    return '\n'.join(out)


def write_printers(schema):
    """Prototypes of the printers that resources name: the functions are in api/print_*.c."""
    out = ['/* Generated by tools/schemagen.py. */', '#ifndef BARQUE_API_PRINTERS_H',
           '#define BARQUE_API_PRINTERS_H', '', '#include "api/print.h"', '']
    out += ['print_fn %s_%s_print;' % (p.name, snake(r.kind))
            for p in schema.packages.values() for r in p.resources if r.columns]
    return '\n'.join(out + ['', '#endif', ''])


def main():
    outdir, paths = sys.argv[1], sys.argv[2:]
    schema = Schema(sorted(paths))
    mapped = map_messages(schema)
    files = {'registry.c': write_registry(schema), 'printers.h': write_printers(schema)}
    for p in schema.packages.values():
        files[p.name + '.h'] = write_header(p, mapped)
        files[p.name + '.c'] = write_source(p, mapped)
    for name, text in files.items():
        with open(os.path.join(outdir, name), 'w', encoding='utf-8') as f:
            f.write(text)


if __name__ == '__main__':
    try:
        main()
    except SchemaError as problem:
        sys.exit('schemagen: %s' % problem)
