"""How the blocks of a stage are arranged: a chain, or a tree with roots (DLA, arXiv 1707.06484 section 3)."""

from __future__ import annotations

import msgspec


class Chain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="chain"):
    """Blocks one after another."""


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="tree"):
    """Blocks as leaves of a binary tree (DLA, arXiv 1707.06484 section 3).

    After each pair of blocks comes a *root*: a 1x1 convolution of both outputs and of the ends of earlier subtrees. The
    depth is a power of two. `keep_input` gives the max-pooled input of the stage to the last root too, as in every
    stage of DLA-60 but the first.
    """

    keep_input: bool = False


Arrangement = Chain | Tree

STAGE_INPUT = -1
"""The max-pooled input of the stage, among the children of a root."""


def root_children(depth: int, keep_input: bool) -> tuple[tuple[int, ...], ...]:
    """For each root, the inputs it has besides its two blocks: earlier roots by index, or `STAGE_INPUT`.

    A root closes each pair of the `depth` blocks (a power of two). For four blocks: `((), (0,))`. The second root takes
    its two blocks and root 0.
    """

    def subtree(leaves: int, children: tuple[int, ...], start: int) -> list[tuple[int, ...]]:
        if leaves == 2:
            return [children]
        left = subtree(leaves // 2, (), start)
        last = start + len(left) - 1
        return left + subtree(leaves // 2, (*children, last), last + 1)

    return tuple(subtree(depth, (STAGE_INPUT,) if keep_input else (), 0))
