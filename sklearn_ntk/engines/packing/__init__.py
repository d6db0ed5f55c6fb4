"""Programs, rows and records as flat arrays for compiled loops: `tiles`, `lines`, `sides`, `tile`.

Each record belongs to a row and an instruction: the numbers of the row that pairs read there.
`launches` has schedules as launches on a GPU.
"""
