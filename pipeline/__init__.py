"""The training program: reads one config document, works, appends events, writes a manifest. Importing it loads nothing."""
