"""Browsing in the app: the page that `describe.export.html` writes to files, served with its heads in parts.

`route` answers, to the owner alone; `parts` reads the catalogue; `owner` knows the owner's browser by its cookie.
"""
