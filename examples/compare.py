"""Compares runs of `evaluate`, and writes a report beside: python examples/compare.py OUT RUN RUN [RUN …]"""

import sys

import asr_transfer as at

out, *runs = sys.argv[1:]
compared = at.compare(runs, out)
for entry in compared.entries:
    print(f"{entry.name}: {entry.counts.rate:.1%}")
