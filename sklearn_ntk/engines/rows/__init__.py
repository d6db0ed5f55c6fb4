"""Single rows: what a program makes of them, and what pairs need to know of them."""
