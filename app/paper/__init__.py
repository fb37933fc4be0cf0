"""The command ``paper``, and the folder that it writes."""
