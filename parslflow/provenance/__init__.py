"""Provenance: events from the stages, the one process that logs them to CMF, queries, lineage.

Stages import :mod:`parslflow.provenance.events` and nothing else from here.
"""
