"""Pages to read in a browser, each one file by itself; jinja2 lives here and nowhere else."""
