"""``headrace completion``."""

from __future__ import annotations

import click


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, runs and tasks in SHELL.

    \b
    bash: add to ~/.bashrc:  eval "$(headrace completion bash)"
    zsh:  add to ~/.zshrc:   eval "$(headrace completion zsh)"
    fish: headrace completion fish > ~/.config/fish/completions/headrace.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    root = context.find_root()
    if kind is None:  # click knows these three
        raise click.UsageError(f"no completion for {shell}")
    script = kind(root.command, {}, "headrace", "_HEADRACE_COMPLETE")
    click.echo(script.source_template % script.source_vars())
