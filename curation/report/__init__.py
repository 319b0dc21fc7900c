"""The report of a finished run: it reads what the run left and recomputes nothing."""
