"""One machine for every stage that asks an LLM about heads: describe, score and stability."""
