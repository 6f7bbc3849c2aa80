"""The OCI image spec, knowing nothing of models."""
