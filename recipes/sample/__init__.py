"""How the sample set is made."""
