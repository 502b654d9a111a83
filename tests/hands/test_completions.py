# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the shells offer, asked of the shells themselves, with the files where `meson install`
puts them."""

import shlex
import shutil

import pytest

from support import build, help
from support.run import run

# The words of the line are in COMP_WORDS as readline would split them.
BASH = r"""
source /usr/share/bash-completion/bash_completion
_completion_loader "$1" || true
complete -p "$1" | grep -q -- '-F _atocore ' || { echo "not loaded" >&2; exit 1; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
_atocore "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""

# An interactive zsh in a pseudo terminal, whose Tab prints the matches instead of showing them.
ZSH_INNER = r"""
PS1= PS2= RPS1=
fpath=($STAGE/usr/share/zsh/vendor-completions $fpath)
autoload -Uz compinit && compinit -u -D
unsetopt zle_bracketed_paste 2>/dev/null
capture() {
        function compadd {
                local -a hits
                if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
                        builtin compadd -A hits "$@"
                        (( $#hits )) && print -rl -- $hits >>$HITS
                fi
                builtin compadd "$@"
        }
        _main_complete
        unfunction compadd
        print -n "<D""ONE>"
}
zle -C capture complete-word capture
bindkey '^I' capture
print "<RE""ADY>"
"""
ZSH = r"""
zmodload zsh/zpty
zpty shell "zsh -f -i"
zpty -w shell "source $INNER"
zpty -r shell seen '*<READY>*'
zpty -n -w shell "$1"$'\t'
zpty -r shell seen '*<DONE>*'
zpty -d shell
"""


class Shells:
    def __init__(self, stage, root, home):
        self.root = root
        self.home = home
        self.stage = stage
        self.env = build.environment(
            PATH=f"{stage}/usr/bin:{stage}/usr/sbin:/usr/bin:/bin", HOME=home, STAGE=stage,
            XDG_DATA_DIRS=f"{stage}/usr/share:/usr/share", XDG_CONFIG_HOME=home / ".config",
            XDG_DATA_HOME=home / ".local/share", TERM="dumb", ATOCORE_ROOT=root.path)

    def bash(self, *words):
        split = [part for word in words for part in (
            word.replace("=", "\0=\0").split("\0") if word.startswith("--") else [word])]
        split = split[:-1] if len(split) > 1 and split[-2:] == ["=", ""] else split
        done = run(["/bin/bash", "--norc", "-c", BASH, "bash", *split], env=self.env,
                   cwd=self.home).expect(0)
        assert done.stderr == ""
        return {word for word in done.stdout.splitlines() if word}

    def zsh(self, *words):
        hits = self.home / "hits"
        hits.write_text("")
        inner = self.home / "inner.zsh"
        inner.write_text(ZSH_INNER)
        run(["/usr/bin/zsh", "-f", "-c", ZSH, "zsh", " ".join(words)], cwd=self.home,
            env={**self.env, "HITS": str(hits), "INNER": str(inner)}).expect(0)
        return set(hits.read_text().splitlines())

    def fish(self, *words):
        done = run(["/usr/bin/fish", "-c", f"complete -C {shlex.quote(' '.join(words))}"],
                   env=self.env, cwd=self.home).expect(0)
        assert done.stderr == ""
        found = {line.split("\t")[0] for line in done.stdout.splitlines()}
        # `--opt=` beside `--opt`; with a value, the option stands before it.
        return {word if word.startswith("--") and "=" not in word else word.partition("=")[2] or
                word for word in found if not word.endswith("=")}


@pytest.fixture(params=["bash", "zsh", "fish"])
def complete(request, installed, root, tmp_path):
    if shutil.which(request.param, path="/usr/bin:/bin") is None:
        pytest.skip(f"{request.param} is not installed; ./run deps installs it")
    home = tmp_path / "home"
    home.mkdir()
    return getattr(Shells(installed, root, home), request.param)


@pytest.fixture
def stamps(root, run_op):
    root.make_database()
    root.write_registry([{"id": "p05-interferometer", "aliases": ["p05"], "ingest_roots": []},
                         {"id": "garden", "ingest_roots": []}])
    found = ["20260407T060000Z", "20260408T060000Z"]
    for stamp in found:
        run_op("atocore-backup", now=stamp).expect(0)
    return set(found)


@pytest.mark.parametrize("program", help.programs())
def test_options_are_those_of_help(complete, program):
    offered = {word for word in complete(program, "--") if word.startswith("--")}
    assert offered == {f"--{name}" for name in help.ask(program).options}


def test_stamps_are_offered_where_one_is_taken(complete, stamps):
    assert complete("atocore-backup", "--pin-snapshot", "") == stamps
    assert complete("atocore-validate", "") == stamps | {"latest"}
    assert complete("atocore-validate", "20260407") == {"20260407T060000Z"}
    assert complete("atocore-restore", "") == stamps | {"latest"}


def test_stamps_are_those_of_the_root_on_the_line(complete, stamps, root, tmp_path):
    other = shutil.copytree(root.path, tmp_path / "other root")
    shutil.rmtree(other / "backups/snapshots/20260407T060000Z")
    assert complete("atocore-validate", "--root", str(root.path), "") == stamps | {"latest"}
    link = tmp_path / "other"
    link.symlink_to(other)
    assert complete("atocore-validate", "--root", str(link), "") == {"20260408T060000Z", "latest"}


def test_archives_are_offered_beside_stamps(complete, stamps, tmp_path):
    for name in ("20260401T060000Z.tar.zst", "notes.txt"):
        (tmp_path / "home" / name).write_text("")
    for program in ("atocore-validate", "atocore-restore"):
        assert complete(program, "") == stamps | {"latest", "20260401T060000Z.tar.zst"}


def test_projects_are_offered_to_ingest(complete, stamps):
    assert complete("atocore-ingest", "") == {"p05-interferometer", "garden"}


def test_what_cannot_be_read_is_not_offered(complete, tmp_path):
    none = str(tmp_path / "none")
    assert complete("atocore-backup", "--root", none, "--pin-snapshot", "") == set()


def test_directories_are_offered_for_the_root(complete, tmp_path):
    (tmp_path / "home" / "storage").mkdir()
    (tmp_path / "home" / "storage-file").write_text("")
    offered = complete("atocore-backup", "--root", "stor")
    assert {word.rstrip("/") for word in offered} == {"storage"}
    assert {word.rstrip("/") for word in complete("atocore-restore", "--to", "stor")} == {"storage"}


def test_nothing_is_offered_for_free_text(complete):
    assert complete("atocore-backup", "--label", "") == set()
