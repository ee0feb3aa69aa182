"""Where work on many files runs: on threads, in processes, on a cluster."""
