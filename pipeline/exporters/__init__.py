"""What a run has made, in the form in which other programs read it."""
