"""A verb as click's group sees it: a line of a table, imported when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import NamedTuple

import click


class UnknownVerbError(click.UsageError):
    """The first word for a group is none of its verbs."""

    def __init__(self, verb: str, group: Verbs, ctx: click.Context) -> None:
        super().__init__(f"{verb!r} is not a verb", ctx)
        self.verb, self.group = verb, group


class Entry(NamedTuple):
    """Where a verb's function is, in `dorsal.cli`, and the first sentence of its help."""

    module: str
    function: str
    says: str


class Verbs(click.Group):
    """Verbs that are imported when they are called, or groups of them."""

    def __init__(self, name: str, says: str, verbs: Mapping[str, Entry | Verbs]) -> None:
        settings = {"help_option_names": ["-h", "--help"]}
        super().__init__(
            name, help=says, no_args_is_help=True, subcommand_metavar="VERB ...", context_settings=settings
        )
        self.verbs, self.says = verbs, says

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's
        """The names of the verbs, in the order of the table."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The verb of this name, None where there is none."""
        found = self.verbs.get(cmd_name)
        if not isinstance(found, Entry):
            return found
        from dorsal.cli.verb import Verb

        return Verb(cmd_name, getattr(importlib.import_module(f"dorsal.cli.{found.module}"), found.function))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the first word names, and the other words. Raises UnknownVerbError."""
        if args[0] not in self.verbs:
            raise UnknownVerbError(args[0], self, ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Writes the verbs with what each does, and imports none of them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.says) for name, verb in self.verbs.items()])
