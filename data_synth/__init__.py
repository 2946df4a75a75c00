"""Text pairs -> rendered page pairs.

The parts, in the order data flows: `corpora` reads or invents aligned text, `fonts` finds font files, `typeset` turns
words into ink, `render` lays text out on pages, `backgrounds` supplies paper, and `build` writes Parquet shards.
"""
