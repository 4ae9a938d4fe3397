"""Prints, as pip constraints, the oldest versions that the light dependencies in pyproject.toml admit."""

import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).resolve().parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))
for requirement in project["project"]["dependencies"]:
    name, _, bound = requirement.partition(">=")
    print(f"{name}~={bound}.0" if bound.count(".") < 2 else f"{name}=={bound}")
