"""Pictures in and out; the only rooms that import Pillow."""
