"""A table of any container → cells → fitted columns → numbers, and back."""
