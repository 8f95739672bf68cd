"""Opens models that others trained and published, in their own formats: a file per family, behind one contract."""
