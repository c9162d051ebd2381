import numpy as np

from materia.engine.sobol import MAX_SOBOL_DIMENSIONS, sobol


def test_every_dimension_is_stratified():
    points = sobol(0, 1024, MAX_SOBOL_DIMENSIONS, seed=3)
    cells = np.sort((points * 1024).astype(int), axis=0)
    assert np.array_equal(cells, np.repeat(np.arange(1024)[:, None], points.shape[1], axis=1))


def test_the_first_two_dimensions_form_a_net():
    points = sobol(0, 256, 2, seed=11)
    for a in range(9):
        columns = (points[:, 0] * 2**a).astype(int)
        rows = (points[:, 1] * 2 ** (8 - a)).astype(int)
        assert len(set(zip(columns, rows, strict=True))) == 256


def test_a_point_depends_on_seed_and_number_only():
    whole = sobol(0, 100, 7, seed=5)
    assert np.array_equal(whole[40:60], sobol(40, 20, 7, seed=5))
    assert np.array_equal(whole, sobol(0, 100, 7, seed=5))
    assert not np.any(whole == sobol(0, 100, 7, seed=6))


def test_dimensions_agree_between_spaces_of_different_size():
    assert np.array_equal(sobol(0, 50, 9, seed=1)[:, :4], sobol(0, 50, 4, seed=1))


def test_points_beyond_the_table_of_dimensions_stay_in_the_cube_and_reproducible():
    d = MAX_SOBOL_DIMENSIONS + 20
    points = sobol(10, 300, d, seed=2)
    assert points.shape == (300, d)
    assert points.min() > 0 and points.max() < 1
    assert np.array_equal(points[5:], sobol(15, 295, d, seed=2))
    assert np.all(np.abs(points[:, -20:].mean(axis=0) - 0.5) < 0.08)


def test_integration_error_is_far_below_that_of_random_points():
    def integral(points):
        return np.prod(1 + 0.5 * (points - 0.5), axis=1).mean() - 1.0

    errors = [integral(sobol(0, 1024, 8, seed)) for seed in range(10)]
    random = [integral(np.random.default_rng(seed).random((1024, 8))) for seed in range(10)]
    assert np.std(errors) < 0.1 * np.std(random)
