"""The commands of typer with a help of our own, and with answers of our own to what they do not understand."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from charnet.cli import console, help_text, usage


class GroupedCommand(TyperCommand):
    """A command whose help lists the options under the headings of their `rich_help_panel`."""

    allow_extra_args = True  # `parse_args` refuses them in words of its own

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.params.append(_help_all())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises ConfigError for an argument too many, and for an option with one dash in place of two,
        and for a time of several words."""
        if not ctx.resilient_parsing:
            usage.check_dashes(ctx, args)
            usage.check_units(ctx, args)
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            raise usage.too_many(ctx, rest)
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(help_text.command_help(self, ctx, help_text.screen_width(), whole=False)) + "\n")


class HelpGroup(TyperGroup):
    """A command that has commands."""

    def summaries(self) -> dict[str, dict[str, str]]:
        """Returns the commands by headings, each in a line."""
        return {"Commands": {name: help_text.summary(command) for name, command in self.commands.items()}}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Raises ConfigError if there is no such command."""
        if args and self.get_command(ctx, args[0]) is None:
            raise usage.no_such_command(ctx, args)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(help_text.group_help(self, ctx, help_text.screen_width())) + "\n")


def _help_all() -> TyperOption:
    def show(ctx: Any, _param: Any, given: bool) -> None:
        if given and not ctx.resilient_parsing:
            console.write(
                "\n".join(help_text.command_help(ctx.command, ctx, help_text.screen_width(), whole=True)) + "\n"
            )
            ctx.exit()

    flag: dict[str, Any] = {"is_flag": True, "is_eager": True, "expose_value": False, "default": False}
    return TyperOption(param_decls=["--help-all"], callback=show, help="show all options", **flag)
