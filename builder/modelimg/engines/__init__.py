"""What builds a plan: one seam, one module an engine."""
