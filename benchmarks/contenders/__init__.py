"""Who is measured: each builds the same model with the same pins into an image that serves predictions."""
