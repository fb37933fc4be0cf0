"""Ours against the literal equations, in one run, as ratios."""
