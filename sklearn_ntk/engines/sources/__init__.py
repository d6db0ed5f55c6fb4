"""Sources of compiled loops, written from the traces of the formulas."""
