"""The page of all commands, made from the commands themselves: ``python -m app.reference > docs/commands.md``."""

from __future__ import annotations

from typing import Any

import typer

from app.commands import app

__all__ = ["all_commands", "commands_page"]


def all_commands() -> dict[str, Any]:
    """Every command by name, those of groups by both names: ``study new``."""
    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= {f"{name} {inner}": each for inner, each in getattr(command, "commands", {}).items()} or {
            name: command
        }
    return found


def commands_page() -> str:
    """Markdown: each command with its arguments and options."""
    parts = [
        "# Commands\n",
        "Made by `python -m app.reference > docs/commands.md`; a test sees that nothing is missing.\n",
        "Progress goes to standard error, results to standard output. Exit codes: 0 done; 1 some heads failed"
        " or are missing (listed); 2 wrong use or bad input, in one line, nothing changed; 130 interrupted, the same"
        " command again goes on.\n",
    ]
    for name, command in sorted(all_commands().items()):
        context = typer.Context(command, info_name=f"headscribe {name}")
        usage = " ".join(command.collect_usage_pieces(context))
        parts.append(f"## headscribe {name}\n\n```\nheadscribe {name} {usage}\n```\n\n{command.help}\n")
        rows = [record for parameter in command.params if (record := parameter.get_help_record(context))]
        parts.append(
            "| | |\n| --- | --- |\n" + "".join(f"| `{_cell(left)}` | {_cell(right)} |\n" for left, right in rows)
        )
    return "\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(commands_page(), end="")
