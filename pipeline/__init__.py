"""The training program: reads one job document, works, appends events, writes a manifest last."""
