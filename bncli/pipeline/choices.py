"""The words an output option takes; imports nothing, so that help pages can show them."""

FORMATS = ("png", "tiff", "npy")
DEPTHS = ("auto", "8", "16")
DTYPES = ("float64", "float32")
ON_ERROR = ("fail", "skip")
ENGINES = ("local", "processes", "dask")
RESTORED_FORMATS = ("auto", "png", "tiff", "npy")
