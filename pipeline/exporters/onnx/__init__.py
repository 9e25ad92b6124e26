"""Models as ONNX graphs, for runtimes other than PyTorch. Experimental: the graph has no cache."""
