"""What a run will need before it is started: its own training loop, run on tensors that have no contents."""
