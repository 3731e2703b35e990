"""A person's rights over the data held: a copy of all of it, and its erasure. https://eur-lex.europa.eu/eli/reg/2016/679"""
