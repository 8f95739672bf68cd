"""Learns from data of another kind without labels what few labelled items are then described by (Raina et al. 2007)."""

from asr_transfer.transfer.self_taught.co_clustering import CoClusters, co_cluster
from asr_transfer.transfer.self_taught.sparse_coding import Basis, learn_basis, soft, sparse_codes

__all__ = ["Basis", "CoClusters", "co_cluster", "learn_basis", "soft", "sparse_codes"]
