"""Searches and folds on several processes and threads find what one finds, and share the CPUs."""

import textwrap

import processes

PROGRAM = """
    import os, warnings
    import numpy as np
    from joblib import Parallel, delayed, parallel_config
    from sklearn.model_selection import GridSearchCV, cross_val_score
    import fastfnn
    from fastfnn.sklearn import MLPClassifier
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)

    rng = np.random.default_rng(5)
    X = rng.standard_normal((120, 5))
    y = (X @ rng.standard_normal((5, 3))).argmax(axis=1)

    def scores(n_jobs):
        model = MLPClassifier((8,), random_state=3, max_iter=200, tol=0.5)
        search = GridSearchCV(model, {"alpha": [0.1, 10.0]}, cv=2, n_jobs=n_jobs).fit(X, y)
        folds = cross_val_score(search.best_estimator_, X, y, cv=4, n_jobs=n_jobs)
        return search.cv_results_["mean_test_score"].tolist() + folds.tolist()

    def share():
        return fastfnn.get_num_threads()

    if __name__ == "__main__":
        expected = scores(1)
        for backend in ("threading", "multiprocessing", "loky"):
            with parallel_config(backend=backend):
                assert scores(2) == expected
            print(backend)
        with parallel_config(backend="loky"):
            shares = Parallel(n_jobs=2)(delayed(share)() for _ in range(4))
        assert set(shares) == {max(os.cpu_count() // 2, 1)}, shares
"""


def test_searches_on_two_workers(tmp_path):
    script = tmp_path / "program.py"  # processes look for its functions in a file
    script.write_text(textwrap.dedent(PROGRAM))
    assert processes.output_of(script, timeout=300).split() == ["threading", "multiprocessing", "loky"]
