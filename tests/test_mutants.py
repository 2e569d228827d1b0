"""The faults of `make mutants` are still faults of the code as it is; whether tests notice them takes an hour."""

import pytest
from mutants import KERNELS, MUTANTS, ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_finds_its_text_and_its_tests(mutant):
    assert mutant.text != mutant.fault
    assert mutant.text in (KERNELS / "jitted" / mutant.file).read_text(encoding="utf-8")
    assert (ROOT / "tests" / f"test_{mutant.tests}.py").exists()


def test_mutants_have_names_of_their_own():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
