"""Protocols: the body of a request ↔ columns and answers, and nothing else."""
