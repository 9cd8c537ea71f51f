"""minigemma: Google's Gemma 4 family in plain NumPy, to be read, taught and looked at."""
