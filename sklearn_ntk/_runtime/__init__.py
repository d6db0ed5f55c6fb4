"""What runs beside the mathematics: memory, threads, progress, threads of BLAS. Internal."""
