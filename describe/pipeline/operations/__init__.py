"""``headscribe relations`` and ``compare``: the predefined operations in the weights of heads."""
