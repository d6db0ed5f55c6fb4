"""Programs, rows and records as the arrays that compiled engines take."""
