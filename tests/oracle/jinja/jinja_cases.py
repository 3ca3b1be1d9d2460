"""Templates written by hand, by what they are about. Each is rendered with DATA."""

DATA = {"s": "αβ γ", "t": " Σας σΣ. ", "n": 5, "f": 2.5, "b": True, "z": None, "xs": [3, 1, 2], "e": [],
        "d": {"k": "ß", "n": 1, "items": "éé"}, "ms": [{"role": "user", "content": "αβ"},
                                                         {"role": "assistant", "content": "γδ\n"}]}


def cases(*templates, **more):
    return [{"template": t, "data": {**DATA, **more}, "settings": {"bos_token": "<s>"}}
            for t in templates]


def every_character(expression):
    """The expression, for every character that Unicode 14 has, in texts of 512."""
    import unicodedata
    codes = [c for c in range(1, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    return [{"template": "{{ " + expression + " }}", "data": {"s": "x".join(map(chr, codes[i:i + 512]))}}
            for i in range(0, len(codes), 512)]


def groups():
    yield "white space is cut as trim_blocks and lstrip_blocks say", cases(
        "a\n  {% if b %}\n  b\n  {% endif %}\nc\n", "a\n  {%- if b -%}\n  b\n  {%- endif -%}\nc",
        "  {{ n }}\n  {{- n -}}\n  x", "  {%+ if b %}x{%+ endif +%}\ny", "{% if b +%}\nx{% endif %}\n\n",
        "{# a #}\n x {#- b -#}\n y {#+ c +#}\nz", "  {# a #}\n  {# b #} c", "a {# b", "x\n\n", "x\n", "\n",
        "{% raw %}\n {{ x }}{% endraw %}\n y", "{%- raw -%}\n {{ x }} \n{%- endraw -%}\n y",
        "{% raw %}", "a\r\nb\rc\n", "{% if b %}\r\nx{% endif %}\r\n", "\t{% set x = 1 %}\t\n{{ x }}",
        "{{ n }}\n{% if b %}{% endif %}\n", "  \u00a0{%- if b %}x{% endif %}", "{%if b%}x{%endif%}",
        "x  {%- set a = 1 %}  y", "{{ '{{' }}{{ \"%}\" }}{{ {'a': {}} }}", "{% for x in xs %}\n\n{% endfor %}",
        "{{ n }", "{% if b", "{{ n -}}   ", "{%  raw  %}{%endraw%}", " {% if b %} {%- endif %}")
    yield "literals are read as Python reads them", cases(
        *["{{ " + e + " }}" for e in (
            "1_000", "0x1F", "0b11", "0o17", "1.5e3", "1e5", "1.e5", "00", "007", "1.5.5", "'a' \"b\"",
            r"'\n\t\x41\u00e9\U0001F600\101\\\'\"'", r"'\z\é'", r"'\x4'", r"'\ud800'", r"'a\
b'", "'é'", "none", "None", "True", "true", "[1, 2,]", "[,]", "(1,)", "()", "(1)", "{'a': 1,}", "{}",
            "{1: 2, true: 3, 1.0: 4}", "{[]: 1}", "1e400", "-0.0", "1e22", "1e16", "123456789012345678.0",
            "0.1 + 0.2", "1e-5", "0.0001", "5e-324", "1.7976931348623157e308", "100000.0", "1_0.0_1",
            "a b", "1 2", "'unclosed", "''", "9223372036854775807", "{'a' 1}", "[1 2]")])
    yield "operators bind and compute as in Python", cases(
        *["{{ " + e + " }}" for e in (
            "1 + 2 * 3 ** 2", "-2 ** 2", "2 ** 3 ** 2", "7 // 2, -7 // 2, 7 % -3, -7 % 3", "7.5 // 2",
            "-7.5 % 2", "5.0 % -3", "1 / 2", "4 / 2", "1 / 0", "1 % 0", "0.0 // 0", "2 ** -1", "0 ** -1",
            "true + true", "'a' * 3", "3 * [1]", "'a' * -1", "'a' + 1", "[1] + (2,)",
            "1 ~ none ~ true ~ 2.0 ~ [1, 'a']", "1 < 2 < 3", "1 < 2 > 3", "1 == 1.0 == true", "'1' == 1",
            "not 1 == 2", "not not 1", "1 and 0 or 'x'", "0 or none", "'a' < 'b'", "'a' < 1", "[1, 2] < [1, 3]",
            "(1, 2) == [1, 2]", "none < 1", "1 in [1.0]", "'a' in 'abc'", "1 in 'abc'", "'k' in d",
            "[] in d", "1 not in [2]", "'' in ''", "missing in [1]", "1 in missing", "missing == missing",
            "missing == none", "missing + 1", "missing ~ 'x'", "-missing", "not missing", "missing < 1",
            "+true", "-true", "-'a'", "5 if b", "5 if not b", "1 if b else 2 if b else 3", "n is odd and b",
            "-1|abs", "-n|abs", "-(1)|string + 'x'", "2 - -1", "'%s-%d' % ('a', 3)", "'%s' % 'a'", "'%s%s' % 'a'",
            "'a' % 1", "'%d' % 'a'", "'%(k)s' % d", "'%5.2f|%-6s|%06d|%+d|%x|%c|%%' % (1.005, 'a', -42, 3, 255, 'z')",
            "'%r' % 'it\\'s'", "'%*d' % (5, 3)", "'%e %g %G' % (12345.678, 1e-7, 1e20)", "'%s' % none",
            "'%.3s' % 'abcdef'", "'%#x %o' % (255, 8)", "'%d' % 3.99", "'%z' % 1", "'%' % 1")])
    yield "attributes and items are found as in Python", cases(
        *["{{ " + e + " }}" for e in (
            "d.k", "d['k']", "d.items is callable", "d['items']", "d.nothing", "d.nothing.more", "d['x']['y']",
            "none.x", "none['x']", "n.x", "missing.x", "missing['x']", "missing[0]", "xs[0]", "xs[-1]", "xs[9]",
            "xs['0']", "xs.0", "xs[1.0]", "xs[true]", "s[1]", "s[-1]", "s[9]", "s[1:]", "s[::-1]", "s[5:1:-2]",
            "xs[::0]", "xs[::2]", "xs[-2:]", "xs[:-1]", "xs['a':]", "n[1:]", "missing[1:]", "d[1:]",
            "d[[]]", "ms[0].content", "ms|first|attr('content')", "s|attr('upper') is callable", "'abc'.nothing",
            "range(5)[2]", "range(5)[1:3]", "range(3)", "range(1, 9, 3)", "range(1, 2, 0)", "range()", "(1, 2)[0]",
            "xs[0, 1]", "d.get('k')", "d.get('x')", "d.get('x', 5)", "d.keys()|list", "d.values()|list", "d.keys()",
            "d.items()", "d.items()|length", "d.items()[0]", "xs.append(4)", "xs.append", "bos_token", "bos_token[0]")])
    yield "an undefined value fails where Python's does", cases(
        *["{{ " + e + " }}" for e in (
            "missing", "missing|length", "missing|list", "missing|join", "missing|upper", "missing|int", "missing|float",
            "missing|tojson", "missing|default('x')", "missing()", "missing is string", "missing is iterable",
            "missing is sequence", "missing is callable", "missing is mapping", "missing|string|length", "missing|first",
            "missing|last", "missing|sort", "missing|items|list", "missing|sum", "missing|map('upper')|list", "missing|abs",
            "missing|round", "missing|replace('a', 'b')", "missing|trim", "missing|indent", "[missing]", "{'a': missing}",
            "[missing]|sort", "[missing, 1]|sort", "missing|e", "missing|reverse|list", "missing|batch(2)|list", "missing|min",
            "d.x is defined", "d.x.y is defined", "missing or 1", "missing and 1", "missing|d(d.x)|d(3)", "missing|tojson",
            "'%s' % missing", "xs[missing]", "missing|select|list", "missing|attr('x')", "missing is none", "missing is in [1]")])
    yield "filters are Python's", cases(
        *["{{ " + e + " }}" for e in (
            "xs|sort", "xs|sort(reverse=true)", "['b', 'A', 'c']|sort", "['b', 'A', 'c']|sort(case_sensitive=true)",
            "ms|sort(attribute='content')|map(attribute='role')|list", "[1, 'a']|sort", "[[1, 2], [1]]|sort", "d|dictsort",
            "{'b': 1, 'A': 2}|dictsort", "{'b': 1, 'A': 2}|dictsort(true)", "{'b': 1, 'A': 2}|dictsort(by='value')",
            "d|dictsort(by='x')", "{1: 1, 'a': 2}|dictsort", "xs|join(',')", "xs|join", "ms|join(', ', attribute='role')",
            "xs|join(1)", "d|join('-')", "s|join('-')", "xs|first", "e|first", "xs|last", "e|last", "s|last", "xs|length",
            "s|length", "n|length", "d|count", "xs|reverse|list", "s|reverse", "xs|list|reverse|join", "d|reverse|list",
            "xs|sum", "xs|sum(start=10)", "ms|sum(attribute='n')", "['a']|sum", "xs|min", "xs|max", "['b', 'A']|min",
            "['b', 'A']|min(case_sensitive=true)", "e|max", "ms|max(attribute='content')", "[1, 1.0, true, 'a', 'A']|unique|list",
            "[[1]]|unique|list", "ms|map(attribute='content')|join('|')", "ms|map(attribute='x', default='y')|list",
            "xs|map('string')|list", "xs|map('nothing')|list", "xs|map", "xs|map('default', 1)|list", "xs|select('odd')|list",
            "xs|reject('odd')|list", "xs|select('>', 1)|list", "[0, 1, '', 'a', none]|select|list", "xs|select('nothing')|list",
            "ms|selectattr('role', 'equalto', 'user')|list", "ms|selectattr('role', '==', 'user')|list|length",
            "ms|rejectattr('role', 'in', ['user'])|list", "ms|selectattr('x', 'defined')|list", "ms|selectattr|list",
            "d|items|list", "n|items|list", "xs|batch(2)|list", "xs|batch(2, 0)|list", "xs|slice(2)|list", "xs|slice(2, 0)|list",
            "xs|slice(0)|list", "'a\\nb\\n\\nc'|indent", "'a\\nb\\n\\nc'|indent(2, true)", "'a\\nb\\n\\nc'|indent(2, blank=true)",
            "'a\\nb'|indent('> ')", "'a\\nb\\n'|indent(1)", "n|indent", "'  a '|trim", "'xxaxx'|trim('x')", "n|trim",
            "'hello wORLD-foo (bar)'|title", "'hELLO'|capitalize", "'a.b'|replace('.', '')", "'aaa'|replace('a', 'b', 2)",
            "'abc'|replace('', '-')", "n|replace('5', '6')", "'12'|int", "'12.7'|int", "' 12 '|int", "'x'|int", "'x'|int(7)",
            "'0x1f'|int(base=16)", "'1f'|int(0, 16)", "'1_0'|int", "'1__0'|int", "true|int", "none|int", "2.9|int", "-2.9|int",
            "'1e3'|int", "'inf'|int", "'nan'|int", "xs|int", "'1.5'|float", "'x'|float", "'x'|float(2)", "'.5'|float", "'5.'|float",
            "'1e5'|float", "'Infinity'|float", "'-inf'|float", "'nan'|float", "' 1_0.5 '|float", "true|float", "'0x10'|float",
            "2.5|round", "3.5|round", "2.675|round(2)", "1234.5678|round(2)", "5|round", "5|round(1)", "2.4|round(0, 'ceil')",
            "2.6|round(method='floor')", "2.65|round(1, 'floor')", "2.5|round(method='x')", "'a'|round", "1e300|round(2)",
            "15|round(-1)", "25.5|round(-1)", "-5|abs", "'a'|abs", "-0.0|abs", "'abc'|center(9)", "'abc'|center(2)", "'a b c'|wordcount",
            "'<a>'|e", "'<a>'|safe|e", "'<a>'|e|e", "'<a>'|forceescape", "'<a>'|safe + '<b>'", "'<b>' + '<a>'|safe", "'<a>'|safe ~ '<b>'",
            "('<a>'|safe).replace('a', '<')", "['<a>'|safe]", "'<a>'|safe * 2", "('<a>'|safe).join(['<', '>'])", "'<a>'|safe|upper",
            "'%s'|format('a')", "'%s %s'|format(1, 2)", "'%(a)s'|format(a=1)", "'%s'|format", "'abc'|list", "d|list", "n|list",
            "'x'|nothing", "'x'|upper(1)", "'x'|replace('a')", "'x'|default", "''|default('y')", "''|default('y', true)",
            "none|default('y')", "none|default('y', boolean=true)", "false|d('y', true)", "s|string is string", "5|string + 'x'",
            "'a'|string|safe|string", "'{\"a\": [1, \"b\"]}'|from_json", "'x'|from_json", "xs|map('string')|join('-')|length")])
    yield "JSON is written as json.dumps writes it", cases(
        *["{{ " + e + " }}" for e in (
            "d|tojson", "ms|tojson", "ms|tojson(indent=2)", "ms|tojson(indent=4, ensure_ascii=false)", "d|tojson(ensure_ascii=true)",
            "'<a>&\\'\"\\\\/'|tojson", "'\\x00\\x1f\\x7f\\u2028\\t\\b\\f'|tojson", "'\\U0001F600é'|tojson(ensure_ascii=true)",
            "[1, 1.0, 1e20, 1e-7, true, none, 'a', (1, 2), [], {}]|tojson", "[[], {}]|tojson(indent=2)", "{1: 2, true: 3, none: 4, 1.5: 5}|tojson",
            "{(1, 2): 3}|tojson", "range(2)|tojson", "range(2)|list|tojson", "d.keys()|tojson", "xs|map('string')|tojson",
            "{'b': 1, 'a': 2}|tojson(sort_keys=true)", "{'b': 1, 2: 2}|tojson(sort_keys=true)", "d|tojson(separators=(',', ':'))",
            "d|tojson(separators=[','])", "d|tojson(indent='\\t')", "d|tojson(indent=0)", "[1]|tojson(indent=-1)", "'inf'|float|tojson",
            "'nan'|float|tojson", "namespace()|tojson", "('<a>'|safe)|tojson", "d|tojson|safe", "d|tojson|length", "d|tojson(2)", "n|tojson")])
    yield "methods are Python's", cases(
        *["{{ " + e + " }}" for e in (
            "'a,b,,c'.split(',')", "'a,b,,c'.split(',', 1)", "' a  b '.split()", "' a  b c '.split(none, 1)", "'abc'.split('')", "''.split()",
            "''.split(',')", "'a,b,c'.rsplit(',', 1)", "'a,b'.split(sep=',')", "'a,b'.split(',', maxsplit=0)", "'a\\nb\\r\\nc\\u2028d\\n'.splitlines()",
            "'a\\nb'.splitlines(true)", "'abc'.startswith('ab')", "'abc'.startswith(('x', 'a'))", "'abc'.startswith(['a'])", "'abc'.startswith('b', 1)",
            "'abc'.endswith('c')", "'abc'.endswith('')", "'abc'.endswith('b', 0, 2)", "'abc'.startswith(1)", "'xxaxx'.strip('x')", "'xyaxy'.lstrip('yx')",
            "' a '.rstrip()", "'abc'.strip('')", "'\\u00a0a\\u2003\\x1f'.strip()", "'aXbX'.replace('X', '-')", "'aXbX'.replace('X', '-', 1)",
            "'abc'.replace('', '.')", "'abc'.replace('b')", "'hello world'.title()", "\"they're bill's\".title()", "'ǆabc'.title()", "'ǆABC'.capitalize()",
            "'ßa'.capitalize()", "'ﬁx'.upper()", "'İI'.lower()", "'ΑΣ ΑΣΑ Σ ΑΣ.'.lower()", "'abc'.find('c')", "'abcabc'.rfind('b')", "'abc'.find('x')",
            "'abc'.index('x')", "'aaa'.count('a')", "'aaa'.count('aa')", "'abc'.count('')", "'abc'.find('', 5)", "'αβγ'.find('γ')", "'a-b-c'.partition('-')",
            "'a-b-c'.rpartition('-')", "'abc'.partition('x')", "'abc'.rpartition('x')", "'-'.join(['a', 'b'])", "'-'.join([1])", "'-'.join('abc')",
            "'a'.center(4, '*')", "'a'.center(5)", "'ab'.center(5)", "'a'.ljust(3, '.')", "'a'.rjust(3)", "'a'.rjust(3, 'xx')", "'12'.isdigit()", "''.isdigit()",
            "'a1'.isalnum()", "'ab'.isalpha()", "' '.isspace()", "'Ab'.isupper()", "'AB1'.isupper()", "'ab'.islower()", "xs.pop()", "xs.pop(0)", "e.pop()",
            "xs.pop() ~ xs", "xs.append(9) ~ xs", "xs.insert(1, 'x') ~ xs", "xs.extend([7, 8]) ~ xs", "xs.index(1)", "xs.index(9)", "xs.count(1)", "xs.reverse() ~ xs",
            "d.pop('k') ~ d", "d.pop('x')", "d.pop('x', 1)", "d.setdefault('y', 2) ~ d", "d.update({'k': 1}) ~ d", "d.update(z=1) ~ d", "d.copy() == d", "d.clear() ~ d",
            "'a'.nothing()", "n.bit()", "(1, 2).index(2)", "(1, 2).append(3)", "'abc'.upper", "'x'.__class__", "''.__class__.__mro__")])
    yield "tests are Python's", cases(
        *["{{ " + e + " }}" for e in (
            "1 is number", "true is number", "1 is integer", "true is integer", "1.0 is float", "true is boolean", "1 is true", "true is true", "0 is false",
            "none is none", "'a' is string", "('a'|safe) is string", "{} is mapping", "namespace() is mapping", "[] is sequence", "{} is sequence", "'' is sequence",
            "1 is sequence", "d.items() is sequence", "xs|map('string') is sequence", "d.items() is iterable", "1 is iterable", "xs|map('string') is iterable",
            "range is callable", "1 is callable", "4 is even", "3 is odd", "3.0 is odd", "'a' is odd", "6 is divisibleby 3", "6 is divisibleby(4)", "6 is divisibleby 0",
            "1 is eq 1", "1 is equalto(2)", "1 is ne 2", "1 is lt 2", "2 is ge 2", "'a' is gt 1", "1 is in [1]", "1 is not in [1]", "none is sameas none",
            "true is sameas 1", "'A' is upper", "'a' is lower", "'1' is lower", "5 is lower", "'upper' is filter", "'x' is filter", "'odd' is test", "x is nothing",
            "1 is", "1 is odd is true", "1 is not", "d.k is defined and d.k is string", "s is string if b else n", "'<'|e is escaped", "b is defined or missing.x")])
    yield "statements are Python's", cases(
        "{% for x in xs %}{{ loop.index }}/{{ loop.length }}{{ ',' if not loop.last }}{% endfor %}", "{% for x in e %}x{% else %}none{% endfor %}",
        "{% for x in xs if x > 1 %}{{ loop.index0 }}{{ x }}{{ loop.revindex }}{{ loop.last }};{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
        "{% for a, b in [(1, 2), (3,)] %}{{ a }}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a + b + c }}{% endfor %}", "{% for x in 5 %}{% endfor %}",
        "{% for x in xs %}{{ loop.previtem }}-{{ loop.nextitem }};{% endfor %}", "{% for x in xs %}{% set n = x %}{% endfor %}{{ n }}", "{% for c in s %}[{{ c }}]{% endfor %}",
        "{% set x = 1 %}{% for i in xs %}{{ x }}{% set x = x + i %}{% endfor %}{{ x }}", "{% set ns = namespace(x=0) %}{% for i in xs %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a + ns.b }}{{ ns.c }}{{ ns }}", "{% set d.k = 1 %}", "{% set q.x = 1 %}", "{% set ns = namespace() %}{{ ns['x'] }}{% set ns.x = 2 %}{{ ns['x'] }}",
        "{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}", "{% break %}", "{% for x in xs %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
        "{% if n > 9 %}a{% elif n > 4 %}b{% else %}c{% endif %}", "{% if e %}a{% elif z %}b{% endif %}", "{% if n = 5 %}{% endif %}", "{% if b %}", "{% endif %}", "{% else %}",
        "{% if b %}{% set y = 1 %}{% endif %}{{ y }}", "{% set a, c = 1, 2 %}{{ a }}{{ c }}", "{% set a = 1, 2 %}{{ a }}", "{% set a, c = 1 %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% set x %}a{{ n }}{% endset %}{{ x }}",
        "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{% endset %}{{ y }}", "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}aa{% endfilter %}", "{% filter nothing %}a{% endfilter %}",
        "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, c=5) }}{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=1) }}",
        "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m() %}{{ x }}{% endmacro %}{% set x = 3 %}{{ m() }}",
        "{% macro m(x) %}{{ x }}{% if x %}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(5) }}", "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}",
        "{% macro m() %}x{% endmacro %}{% call m() %}in{% endcall %}", "{% call n() %}{% endcall %}", "{% call n %}{% endcall %}", "{% macro m() %}{{ caller }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a|upper }}{% endmacro %}{{ m('x')|length }}",
        "{% macro m() %}{% set n = 9 %}{{ n }}{% endmacro %}{{ m() }}{{ n }}", "{% with a = 1, n = n + 1 %}{{ a }}{{ n }}{% endwith %}{{ n }}{{ a }}", "{% with %}{% set n = 1 %}{% endwith %}{{ n }}", "{% print n, s %}", "{% nothing %}",
        "{% generation %}{{ s }}{% set n = 1 %}{% endgeneration %}{{ n }}", "{% for x in [[1, [2]], 3] recursive %}{{ loop.depth }}{% if x is sequence %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}", "{% for x in xs %}{{ loop(xs) }}{% endfor %}",
        "{% for x in xs %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %}", "{% for x in xs|sort %}{% for y in xs %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{{ raise_exception('no') }}", "{{ strftime_now('%d %b %Y') }}",
        "{{ n|nothing if e else 1 }}", "{{ n|nothing }}", "{% if e %}{{ n|nothing }}{% endif %}ok", "{% for x in e %}{{ n|nothing }}{% endfor %}", "{% if e %}{{ n is nothing }}{% endif %}ok", "{{ n if b else n|nothing }}", "{% if e %}{% for x in e %}{{ n|nothing }}{% endfor %}{% endif %}",
        "{% for loop in xs %}{% endfor %}", "{{ loop }}", "{{ loop.index }}", "{% for x in loop %}{% endfor %}", "{% set range = 5 %}{{ range }}", "{{ m }}{% macro m() %}{% endmacro %}", "{{ (range(3)|list)[1] }}", "{{ dict(a=1, b=2) }}{{ dict([('a', 1)]) }}", "{{ n }}{% set n %}x{% endset %}{{ n }}",
        "{% for x in xs %}{{ x }}{% else %}{% break %}{% endfor %}", "{% for m in ms %}{{ '<|' + m.role + '|>' + m.content|trim }}{% endfor %}", "{{ s.upper() ~ ms[0]['content'] ~ bos_token }}", "{{ xs.append(5) or '' }}{% for x in xs %}{{ x }}{% endfor %}", "{{ 'a'.join }}")
    yield "every character has Python's upper case", every_character("s|upper")
    yield "every character has Python's lower case", every_character("s.lower()")
    yield "every character has Python's title case", every_character("s.title()")
    yield "every character is printed as Python prints it", every_character("[s]")
