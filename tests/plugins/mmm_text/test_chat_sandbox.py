"""Templates of strangers: what transformers' templates may do works, what would harm is refused at once."""

import json
import time

import pytest
from jinja2.exceptions import TemplateError

from mmm_text import chat_sandbox
from mmm_text.chat_sandbox import BEGIN, BUDGET, END, Budget, Sandbox

MESSAGES = [{"role": "user", "content": "hi <b> & é"}, {"role": "assistant", "content": "yes"}]


def render(source, **values):
    sandbox = Sandbox()
    return sandbox.from_string(sandbox.counted(source)).render(
        {"messages": MESSAGES, BUDGET: Budget(), **values}
    )


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("{% for m in messages %}\n  {{- m.role ~ ': ' + m['content'] }};\n{% endfor %}", None),
        ("{{ messages | tojson }}", json.dumps(MESSAGES, ensure_ascii=False)),
        ("{{ {'a': [1]} | tojson(indent=2) }}", '{\n  "a": [\n    1\n  ]\n}'),
        ("{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "user"),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "2",
        ),
        ("{{ messages[1:] | map(attribute='role') | join(', ') }}", "assistant"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
        (
            "{% for m in messages if m.role != 'user' %}{{ m.content.split('e')[-1].upper() }}{% endfor %}",
            "S",
        ),
        ("{% macro f(x) %}[{{ x | trim }}]{% endmacro %}{{ f(' a ') + f('b') }}", "[a][b]"),
        ("{% for k, v in messages[0].items() %}{{ k }}{% endfor %}", "rolecontent"),
        ("{{ 'a' * 3 }}{{ 7 % 4 }}{{ 2 ** 10 }}{{ '%s-%02d' % ('x', 7) }}", "aaa31024x-07"),
        (
            "{{ 'a\nb' | indent(2) }}{{ 'aXa' | replace('X', '-') }}{{ 'aXa'.replace('X', '+') }}",
            "a\n  ba-aa+a",
        ),
        ("{% generation %}yes{% endgeneration %}", f"{BEGIN}yes{END}"),
        ("{% set x, y = 1, 2 %}{% set z = [x, y] + [3] %}{{ z }}{{ missing }}", "[1, 2, 3]"),
        ("{{ messages[-1]['tool_calls'] is defined }}{{ none }}", "FalseNone"),
    ],
)
def test_what_templates_do(source, wanted):
    got = render(source)
    assert got == ("user: hi <b> & é;\nassistant: yes;\n" if wanted is None else wanted)


def test_the_time_is_known():
    assert render("{{ strftime_now('%Y') }}") == time.strftime("%Y")


LONG = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
HARM = {
    "loops for ever": LONG,
    "loops that pass over all": "{% for a in range(999) %}{% for b in range(99999) if a < 0 %}{% endfor %}{% endfor %}",
    "loops of filters": "{% for a in range(99999) %}{% set x = range(99999) | list %}{% endfor %}",
    "a macro that calls itself twice": "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "a macro that calls itself twice, not deeply": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
    ),
    "a large text": "{{ 'a' * 10 ** 10 }}",
    "a large number": "{{ 10 ** 10 ** 10 ** 10 ** 10 }}",
    "numbers that grow": "{% set n = namespace(x=9) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "a text that doubles": (
        "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}"
    ),
    "a text that doubles, joined": (
        "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
    ),
    "a list of lists of lists": (
        "{% set n = namespace(x=[]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}"
    ),
    "namespaces in namespaces": (
        "{% set n = namespace(x='') %}"
        "{% for i in range(99) %}{% set n.x = namespace(a=n.x, b=n.x) %}{% endfor %}{{ n.x }}"
    ),
    "a namespace in itself": "{% set n = namespace(x=1) %}{% set n.x = n %}{{ n }}",
    "an output without end": "{% for i in range(99999) %}" + 1000 * "x" + "{% endfor %}",
    "a replacement that explodes": "{% set x = 'a' * 99999 %}{{ x.replace('a', x) }}",
    "a filter that explodes": "{% set x = 'a' * 99999 %}{{ x | replace('a', x) }}",
    "a join that explodes": "{{ range(99999) | map('string') | join('a' * 99999) }}",
    "a wide format": "{{ '%9999999999d' % 1 }}",
    "a wide date": "{{ strftime_now('%9999999999Y') }}",
    "a wide indent": "{{ 'a' | tojson(indent=9999999999) }}",
    "a wide format, by method": "{{ '{:9999999999}'.format(1) }}",
    "a wide text": "{{ 'a'.ljust(9999999999) }}",
    "private attributes": "{{ messages.__class__.__mro__ }}",
    "private attributes, alone": "{{ messages.__class__ }}",
    "private attributes, as items": "{{ ''['__class__'] }}",
    "private attributes, by filter": "{{ messages | map(attribute='__class__') | list }}",
    "private attributes, by format": "{{ '{0.__class__}'.format(messages) }}",
    "a function's globals": "{{ raise_exception.__globals__ }}",
    "changes": "{{ messages.append(1) }}",
    "a filter that is not there": "{{ messages | pprint }}",
    "other files": "{% include 'x' %}",
    "a long template": "x" * (1 << 19),
}


@pytest.mark.parametrize("source", HARM.values(), ids=HARM.keys())
def test_what_would_harm_is_refused_soon(source, monkeypatch):
    monkeypatch.setattr(chat_sandbox, "MOST_STEPS", 1 << 14)  # so that it is soon even here
    start = time.monotonic()
    with pytest.raises((TemplateError, RecursionError, TypeError)):
        render(source)
    assert time.monotonic() - start < 5


def test_the_conversation_stays_as_it_is():
    before = json.dumps(MESSAGES)
    render("{% set messages = messages + [1] %}{% set x = messages[0] %}{{ x }}")
    assert json.dumps(MESSAGES) == before
