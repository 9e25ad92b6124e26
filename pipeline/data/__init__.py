"""Data sets: reading any source, recognising its shape, storing its rows, and telling the truth about them."""
