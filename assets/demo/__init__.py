"""The embedded demo: a nano Gemma 3 checkpoint and the gem-orders task, and the scripts that build both."""
