"""How the shipped classifier of global sclerosis was made."""
