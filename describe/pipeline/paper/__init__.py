"""``headscribe paper``: the experiments of MAPS (arXiv 2412.11965) on one model, with the settings printed there."""
