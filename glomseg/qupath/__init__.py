"""QuPath's files, its objects, and the process that holds it."""
