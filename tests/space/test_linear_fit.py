"""How near widths are to the quantised linear rule: exact RegNets, the paper's order of spaces, a known answer."""

import numpy as np
import pytest

from dorsal.space.linear_fit import linear_fit
from dorsal.space.named import SPACES
from dorsal.space.refine import fix
from dorsal.space.sample import sample
from dorsal.spec.text import edit
from dorsal.spec.widths import regnet_stages
from dorsal.zoo import named


def errors(space, count=12):
    return np.array([linear_fit(net).error for net in sample(space, count, {"macs": "360M..400M"}).networks()])


def test_regnets_fit_exactly():
    exact = errors(fix(SPACES["regnetx_pycls"], "mixer.group_width", 8))
    assert exact.max() < 0.01
    assert np.median(exact) < 1e-9


def test_fits_order_the_spaces_as_in_the_paper():
    a, e, x = (np.median(errors(SPACES[name])) for name in ("anynetx_a", "anynetx_e", "regnetx_pycls"))
    assert x < 0.06 < e < a


def test_the_error_is_the_mean_log_ratio_of_the_rule_found():
    net = edit(named("regnetx_002"), {"widths": [64, 32, 200, 24], "depths": [2, 3, 1, 4]})
    fit = linear_fit(net)
    widths, depths = regnet_stages(fit.w0, fit.wa, fit.wm, 10)
    rule, seen = np.repeat(widths, depths), np.repeat([64, 32, 200, 24], [2, 3, 1, 4])
    assert fit.error == pytest.approx(np.abs(np.log(rule / seen)).mean(), rel=1e-6)
    for w0 in (24, 32, 64):  # no rule on a coarse grid is better
        for wa in (0.0, 4.0, 16.0, 40.0):
            widths, depths = regnet_stages(w0, wa, 2.0, 10)
            assert fit.error <= np.abs(np.log(np.repeat(widths, depths) / seen)).mean()


def test_one_width_fits_a_rule_without_slope():
    assert linear_fit(edit(named("regnetx_002"), {"widths": [64] * 4, "depths": [2] * 4})).error == 0
