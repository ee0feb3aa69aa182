"""Everything on disk that is no picture."""
