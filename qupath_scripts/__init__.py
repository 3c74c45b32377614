"""The Groovy scripts that are glomseg's hands inside QuPath."""
