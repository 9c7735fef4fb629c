"""Memory shared by processes that make the same things."""

from __future__ import annotations

import os

from tpop3d_py.auth import commons
from tpop3d_py.auth.commons import SIZE, Arena


def in_a_child(arena: Arena) -> None:
    pid = os.fork()
    if pid == 0:
        with arena.dividing():
            first, second = commons.memory(10), commons.memory(8).cast("q")
        first[0], second[0] = 7, second[0] + 1
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_each_process_finds_what_the_others_have_left() -> None:
    arena = Arena()
    in_a_child(arena)
    in_a_child(arena)
    with arena.dividing():
        first, second = commons.memory(10), commons.memory(8).cast("q")
    assert (bytes(first), second[0]) == (b"\7" + bytes(9), 2)


def test_without_an_arena_pieces_are_shared_with_children() -> None:
    piece = commons.memory(4)
    pid = os.fork()
    if pid == 0:
        piece[0] = 9
        os._exit(0)
    os.waitpid(pid, 0)
    assert bytes(piece) == b"\x09\0\0\0"
    assert bytes(commons.memory(4)) == bytes(4)


def test_a_piece_that_does_not_fit_is_ones_own() -> None:
    arena = Arena()
    with arena.dividing():
        assert len(commons.memory(SIZE)) == SIZE
        assert len(commons.memory(1)) == 1
        assert bytes(commons.memory(SIZE + 1)[-1:]) == b"\0"
