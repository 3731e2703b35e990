"""How much work one request may cause, and where the work is done so that nobody waits for it.

`budget` counts what a request costs, through parsing, validation, evaluation and writing; `threads` takes what lasts
longer than a few milliseconds off the event loop.
"""
