"""Sheets and pages in which a run is seen, each one file by itself; jinja2 lives here alone."""
