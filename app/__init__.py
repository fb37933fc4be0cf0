"""The faces of headscribe. Parsing and drawing only."""
