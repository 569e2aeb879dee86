"""How many skills the leaderboard supports, as a command.

    python -m studies.skillcount --out FOLDER [--method svi|nuts] [--skills 1,2,3,4,5]

Prints the table and the words of :func:`sloth_bayes.how_many_skills` on the corrected table that
ships. The folder keeps what has been computed, so that an interrupted run goes on from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import sloth_bayes as sb


def main() -> None:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.skillcount", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", choices=["svi", "nuts"], default="svi")
    parser.add_argument("--skills", default="1,2,3,4,5")
    given = parser.parse_args()
    numbers = [int(d) for d in given.skills.split(",")]
    found = sb.how_many_skills(n_skills=numbers, method=given.method, out=given.out)
    print(found.table.round(3).to_string())
    print(found)


if __name__ == "__main__":
    main()
