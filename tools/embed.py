#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py IN OUT: the text of a file as C string literals, one a line."""

import sys

with open(sys.argv[1], encoding='utf-8') as f:
    lines = f.read().split('\n')
with open(sys.argv[2], 'w', encoding='utf-8') as out:
    for line in lines:
        if line.startswith('#'):
            continue
        text = line.replace('\\', '\\\\').replace('"', '\\"')
        out.write('"%s\\n"\n' % text)
