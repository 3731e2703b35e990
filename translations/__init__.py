"""The texts that people read, in each language: gettext catalogues, and nothing else of ours.

A text stands in English where it is used, marked by `N_`; its translations stand in
`translations/<language>/LC_MESSAGES/messages.po`. A further language is a further such file: CONTRIBUTING.md, "Texts".
"""
