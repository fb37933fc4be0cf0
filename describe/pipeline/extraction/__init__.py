"""``headscribe extract``: salient mappings from weights, placebo and random heads, and where all that is computed."""
