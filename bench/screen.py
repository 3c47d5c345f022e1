"""How often the threat screen is wrong, and what it costs, on text it was not written for.

Takes every paragraph of the package descriptions installed beside the gateway: prose, markup, shell and program
examples, which is harder than what most services receive. Prints texts, hits, rate, rules and microseconds per KiB.
Run: python bench/screen.py
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # behind PYTHONPATH, where the compiled sources may be

from spork.domain.security.threat_rules import Screen


def paragraphs() -> list[str]:
    found: set[str] = set()
    for distribution in distributions():
        description = (distribution.read_text("METADATA") or "").partition("\n\n")[2]
        found.update(text.strip() for text in description.split("\n\n") if 20 < len(text.strip()) < 4000)
    return sorted(found)


def main() -> None:
    screen = Screen()
    texts = paragraphs()
    began = time.process_time()
    hits = [(text, hit) for text in texts if (hit := screen.look(text, "body")) is not None]
    spent = time.process_time() - began
    size = sum(len(text) for text in texts) / 1024
    print(f"{len(texts)} texts, {len(hits)} taken for attacks ({len(hits) / len(texts):.2%})")
    print(f"{spent / size * 1e6:.0f} microseconds per KiB that is looked at")
    for rule, times in Counter(hit.rule for _, hit in hits).most_common():
        print(f"  {times:3d}  {rule}")


main()
