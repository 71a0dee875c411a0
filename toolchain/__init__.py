"""The pipeline: one step, one file; see ARCHITECTURE.md."""
