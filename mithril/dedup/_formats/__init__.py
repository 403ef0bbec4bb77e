"""Documents in files: how they are read as texts, and how what stays of them is written."""
