"""One module per operation, and what operations share: the context that finds content by url and version, and the
selection of codes that a value set makes.
"""
