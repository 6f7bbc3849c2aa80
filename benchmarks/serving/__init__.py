"""`python -m benchmarks.serving`: one model behind our server and behind others, under the same load."""
