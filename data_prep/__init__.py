"""Makes manifests of corpora on disk: one module per corpus layout, each with a `prepare` that the command line
offers.
"""
