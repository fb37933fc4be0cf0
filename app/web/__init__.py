"""The web app: raters answer items, the owner makes studies and sees how they stand. Drawing only; Streamlit runs it.

``main`` is the script that Streamlit runs for everybody; the files that end in ``_page`` are its pages.
"""
