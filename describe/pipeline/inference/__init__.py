"""``headscribe correlate`` and ``ablate``: what running the model shows of operations and heads."""
