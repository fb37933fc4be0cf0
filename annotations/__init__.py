"""Human studies: what is asked of whom, what was answered, and what that says.

A study is designed (`annotations.design`: sample, controls, blocks) and stored whole (`annotations.storage`); raters
get in (`annotations.access`), are given items (`annotations.assignment`) and answer them (`annotations.rating`). What
was answered is read as a frame (`annotations.frame`) and exported as the raw events (`annotations.export`).
"""
