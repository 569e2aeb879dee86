"""What others say of the rated models: claims on how skills grow, and what was distilled."""

from __future__ import annotations

import pandas as pd

from ..support.shipped import shipped


def load_claims() -> pd.DataFrame:
    """Claims of FLASK (Ye et al., arXiv 2307.10928) on how skills grow, and what can test them.

    Returns
    -------
    pandas.DataFrame
        flask_skill, claim (``"improves"`` or ``"flat"``), at_b (billions: flat from there on, or
        still improving there), capability (of BiGGen-Bench, empty if none corresponds), verdict
        (``"can be tested"``, ``"in part"`` or ``"cannot be tested"``), reason.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sorted(sb.load_claims()["claim"].unique())
    ['flat', 'improves']
    """
    table = pd.read_csv(shipped("data") / "skill_ratings" / "claims.csv")
    return table.fillna({"capability": ""})


def load_distilled() -> pd.DataFrame:
    """Chat models of BiGGen-Bench, and whether they were tuned on outputs of proprietary models.

    Returns
    -------
    pandas.DataFrame
        model, distilled (``"yes"``, ``"no"`` or ``"unknown"``), teacher, source, year. Only
        what a paper or model card states counts as yes or no.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sorted(sb.load_distilled()["distilled"].unique())
    ['no', 'unknown', 'yes']
    """
    table = pd.read_csv(shipped("data") / "skill_ratings" / "distilled.csv")
    return table.astype({"year": "Int64"}).fillna({"teacher": "", "source": ""})
