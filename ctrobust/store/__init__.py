"""HDF5 stores of slices, and the split manifests that go with them."""

from ctrobust.store.reader import Store
from ctrobust.store.split import listed_split, make_folds, make_split, read_split, write_split
from ctrobust.store.writer import write_store

__all__ = ["Store", "listed_split", "make_folds", "make_split", "read_split", "write_split", "write_store"]
