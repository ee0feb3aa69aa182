from __future__ import annotations

import pytest
from contract.desk import Desk, World

collect_ignore = ["cases.py", "compare.py", "inputs.py", "interpreter.py"]
"""They are run by hand, not by the suite."""


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def desk(request, world, tmp_path):
    """The cell of the matrix that is asked."""
    return Desk(request.param, world, tmp_path)
