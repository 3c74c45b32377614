"""What every command has in common: flags for parameters, words on Ctrl-C, old names of options, groups in the help."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from glomseg.errors import GlomsegError

AGAIN = "files are written whole or not at all; give the same command again"


class Interrupted(Exception):
    """A command that was stopped with Ctrl-C; the text says what is true now."""


class Command(click.Command):
    """A command of glomseg.

    `interrupted` says what is true after Ctrl-C, and `renamed` maps the former names of options to the present ones.
    `only_with` and `never_with` map a parameter to those that change nothing without it, or beside it: who gives one
    hears so, for it would be taken for done.
    """

    def __init__(
        self,
        *args: Any,
        interrupted: str = AGAIN,
        renamed: Mapping[str, str] | None = None,
        only_with: Mapping[str, tuple[str, ...]] | None = None,
        never_with: Mapping[str, tuple[str, ...]] | None = None,
        **attributes: Any,
    ) -> None:
        """Make a command as click does."""
        super().__init__(*args, **attributes)
        self.interrupted = interrupted
        self.renamed = dict(renamed or {})
        self.only_with = dict(only_with or {})
        self.never_with = dict(never_with or {})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; the former name of an option is taken with a word on standard error.

        Raises UsageError for an option that takes one value and is given twice: the first would be dropped in silence.
        """
        args = [self._present_name(word) for word in args]
        if args and not ctx.resilient_parsing:
            self._refuse_twice(ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its errors speak of flags, and Ctrl-C tells what is true."""
        self._refuse_idle(ctx)
        try:
            return super().invoke(ctx)
        except GlomsegError as error:
            raise type(error)(with_flags(str(error), ctx)) from error
        except KeyboardInterrupt as error:
            raise Interrupted(with_flags(str(error) or self.interrupted, ctx)) from error

    def _refuse_twice(self, ctx: click.Context, args: list[str]) -> None:
        order = self.make_parser(ctx).parse_args(args=list(args))[2]  # each option as often as it is given
        single = [item for item in order if isinstance(item, click.Option) and not (item.multiple or item.is_flag)]
        for option in single:
            if (count := single.count(option)) > 1:
                raise click.UsageError(f"{_flag(option)} takes one value and is given {count} times; give one", ctx)

    def _refuse_idle(self, ctx: click.Context) -> None:
        """Raise UsageError for options that change nothing with, or without, what else was given."""
        for lead, others in self.only_with.items():
            if not _is_given(ctx.params[lead]):
                _refuse(ctx, others, f"without {_shown(ctx, lead)}")
        for lead, others in self.never_with.items():
            if _is_given(ctx.params[lead]):
                _refuse(ctx, others, f"with {_shown(ctx, lead)}")

    def _present_name(self, word: str) -> str:
        name, equals, value = word.partition("=")
        if name not in self.renamed:
            return word
        present = self.renamed[name]
        click.echo(f"glomseg: {name} is {present} now", err=True)
        return present + equals + value


def command(name: str | None = None, **attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function; takes what `Command` takes."""
    return click.command(name, cls=Command, **attributes)


class Commands(click.Group):
    """A group whose help lists its commands under headings, in the order in which they were added."""

    command_class = Command

    def __init__(self, *args: Any, **attributes: Any) -> None:
        """Make a group as click does, with no headings yet."""
        super().__init__(*args, **attributes)
        self.headings: dict[str, tuple[str, ...]] = {}

    def add_section(self, heading: str, commands: Iterable[click.Command]) -> None:
        """Add commands under a heading."""
        commands = tuple(commands)
        for item in commands:
            self.add_command(item)
        self.headings[heading] = tuple(str(item.name) for item in commands)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of the help."""
        listed = [name for names in self.headings.values() for name in names]
        return listed + [name for name in super().list_commands(ctx) if name not in listed]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, heading by heading."""
        if not self.headings:
            super().format_commands(ctx, formatter)
            return
        limit = formatter.width - 6 - max(len(name) for name in self.commands)
        for heading, names in self.headings.items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(limit)) for name in names])


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != ()


def _refuse(ctx: click.Context, names: Iterable[str], why: str) -> None:
    idle = [_shown(ctx, name) for name in names if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if idle:
        verb, it = ("changes", "it") if len(idle) == 1 else ("change", "them")
        raise click.UsageError(f"{', '.join(idle)} {verb} nothing {why}; leave {it} away", ctx)


def _shown(ctx: click.Context, name: str) -> str:
    parameter = next(item for item in ctx.command.params if item.name == name)
    return _flag(parameter) if isinstance(parameter, click.Option) else parameter.human_readable_name


def _flag(option: click.Option) -> str:
    return next((name for name in option.opts if name.startswith("--")), option.opts[0])


def with_flags(text: str, context: click.Context | None = None) -> str:
    """Write the flag of the running command for each parameter in backticks: `mpp` becomes --mpp, `model` --model.

    What is no option of the command stays as it is. Letters that steer a terminal, as a file's name may have them,
    are written as Python does.
    """
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: match[0].encode("unicode_escape").decode(), text)
    context = context or click.get_current_context(silent=True)
    if context is None:
        return text
    options = [item for item in context.command.params if isinstance(item, click.Option)]
    flags: dict[str | None, str] = {_flag(item).lstrip("-").replace("-", "_"): _flag(item) for item in options}
    flags |= {item.name: _flag(item) for item in options}
    return re.sub(r"`([a-z_]+)`", lambda match: flags.get(match[1], match[0]), text)
