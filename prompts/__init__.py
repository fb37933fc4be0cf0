"""Prompt templates (Jinja), installed with the package. A change to one that was used is a new file."""
