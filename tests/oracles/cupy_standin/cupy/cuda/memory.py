class OutOfMemoryError(MemoryError):
    def __init__(self, size, total, limit):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated {total:,})")
