"""From a slide to the outlines of its glomeruli: no QuPath, no JVM, any machine."""
