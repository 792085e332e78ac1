"""Recipe files: YAML against the class of its training."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from toolchain.errors import UsageError

Config = TypeVar("Config", bound=BaseModel)


def load_recipe(path: Path, config: type[Config], what: str) -> Config:
    """The recipe of `what` in a YAML file. UsageError says in one sentence what of it does not fit."""
    try:
        return config.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise UsageError(
            f"{path} is no recipe of {what} ({wrong}): compare it with those in configs/training."
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"{path} cannot be read as a recipe ({problem}): give a YAML file of {what}.") from error
