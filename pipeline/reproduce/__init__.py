"""A run written down for others: as YAML, as one command, as a script on TRL alone, and its training rows."""
