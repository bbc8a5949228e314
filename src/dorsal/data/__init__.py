"""Data sets and their splits: an embedded default, and folders of class folders.

`dorsal.data.spec` says WHAT the data are and needs no torch; `dorsal.data.dataset` opens them. This file
imports nothing, so that naming data stays as cheap as naming a network.
"""
