"""`charnet completion`: what a shell needs to complete command lines of charnet."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from charnet.cli import console
from charnet.errors import ConfigError, did_you_mean, quoted

# Each script asks charnet with the words of the line so far, the last of which is being typed.
BASH = r"""_charnet() {
    local line cur="${COMP_WORDS[COMP_CWORD]}"
    case $cur in [=:]) cur= ;; esac
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
        else
            [[ $line == *= ]] && compopt -o nospace 2>/dev/null
            COMPREPLY+=("$line")
        fi
    done < <("${COMP_WORDS[0]}" completion bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _charnet charnet
"""
ZSH = r"""#compdef charnet
_charnet() {
    local line files=0
    local -a found
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            files=1
        else
            found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        fi
    done < <("${words[1]}" completion zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( $#found )) && _describe -V charnet found
    (( files )) && _files
    return 0
}
if [[ $funcstack[1] == _charnet ]]; then _charnet "$@"; else compdef _charnet charnet; fi
"""
FISH = r"""function __charnet_complete
    set -l typed (commandline -opc) (commandline -ct)
    for line in ($typed[1] completion fish -- $typed[2..-1] 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c charnet -f -k -a '(__charnet_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(
    context: typer.Context,
    shell: Annotated[str, typer.Argument(help="The shell: bash, zsh or fish.", metavar="SHELL")],
    words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Print a script for a shell. With it, the Tab key completes commands, options, their values, runs, known texts and
    pages of the guide.

    Add the line for your shell to the file that is named beside it. It works in the next shell that you open.
    """
    if shell not in SCRIPTS:
        found = f"found {quoted(shell)}{did_you_mean(shell, SCRIPTS)}"
        raise ConfigError(f"charnet completion: expected one of {', '.join(SCRIPTS)}, {found}")
    if words is None:
        console.write(SCRIPTS[shell])
    else:
        _answer(context.find_root().command, shell, words)


def _answer(root: Any, shell: str, words: list[str]) -> None:
    """Writes a line for each word that may follow."""
    from charnet.cli import completing

    begin = ""
    if shell == "bash":
        words, begin = completing.split_by_bash(words)
    if shell != "fish":
        words = [completing.unquoted(word) for word in words]
    for word, about in completing.candidates(root, words):
        if not word.isprintable():  # the name of a run, which no shell would take as it is
            continue
        if shell == "bash":
            console.write(word.removeprefix(begin) + "\n")
        else:
            about = " ".join(about.split()) or word
            console.write(f"{word}\t{about}\n" if word != completing.FILES else f"{word}\n")
