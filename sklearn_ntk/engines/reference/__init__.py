"""The reference engine: programs on whole arrays, slow and readable."""
