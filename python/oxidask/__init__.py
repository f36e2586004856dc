"""Oxidask: Dask's collections and schedulers on an engine written in Rust."""
