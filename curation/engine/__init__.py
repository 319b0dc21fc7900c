"""What runs components over tables: the only place that knows both Dask and asyncio."""
