"""Rows with images: what trains on them, how they are opened, put into tokens and made into batches."""
