"""Ours against the literal equations, in one run, as ratios."""

from describe.process import prepare_process

prepare_process()  # as the command line does
