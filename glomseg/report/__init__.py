"""Show results as pictures and pages."""
