"""Figures. Every function draws on given axes or makes its own figure, and returns the axes.

They draw what they are given and ask nothing: an answer's ``plot()`` hands itself over. No
global setting of Matplotlib is touched: :data:`STYLE` holds inside these functions only.
"""

from .checks import predictive_check as predictive_check
from .checks import priors as priors
from .laws import laws as laws
from .scores import calibration as calibration
from .scores import forecast as forecast
from .skills import base_and_tuned as base_and_tuned
from .skills import level_curves as level_curves
from .skills import loadings as loadings
from .skills import loadings_forest as loadings_forest
from .skills import skill_correlations as skill_correlations
from .skills import skills_and_compute as skills_and_compute
from .style import COLOURS as COLOURS
from .style import STYLE as STYLE
