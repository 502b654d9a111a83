# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Bash completion of AtoCore's programs. Nothing here has to be kept in step with them, they are
# asked: for options and what these take by --help, for stamps and projects by --list, on the
# storage root of the command line. What cannot be read is not offered.

# "OPTION ARGUMENT" for each line of --help; "[ARGUMENT" where it may be left out.
_atocore_options() {
        "$1" --help 2>/dev/null | sed -nE \
                's/^  (-.,|   ) (--[a-z0-9-]+)(( |\[=)([^] ]+)\]?)?( .*)?$/\2 \4\5/p' |
                sed 's/\[=/[/; s/  */ /'
}

# What OPTION takes: "STAMP", "[zstd|gzip|none" or nothing.
_atocore_takes() {
        local name argument
        while read -r name argument; do
                [[ $name != "$1" ]] || printf '%s' "$argument"
        done < <(_atocore_options "$program")
}

# What may stand without an option, from the line "Usage: PROGRAM [OPTION...] [STAMP|latest …]".
_atocore_operands() {
        "$1" --help 2>/dev/null | sed -nE '1s/^Usage: [^ ]+ \[OPTION\.\.\.\] ?//p' | tr -d '[].…'
}

# --root and --config as they were typed so far, into the array `place`.
_atocore_place() {
        local i value
        place=()
        for ((i = 1; i < COMP_CWORD; i++)); do
                case ${COMP_WORDS[i]} in
                --root=* | --config=*) value=${COMP_WORDS[i]#*=} ;;
                --root | --config)
                        value=${COMP_WORDS[i + 1]}
                        [[ $value != "=" ]] || value=${COMP_WORDS[i + 2]}
                        ;;
                *) continue ;;
                esac
                value=${value#[\"\']} value=${value%[\"\']} value=${value//\\/}
                [[ $value != \~/* ]] || value=$HOME${value#\~}
                place+=("${COMP_WORDS[i]%%=*}" "$value")
        done
}

# The first words of the lines of `PROGRAM --list` on the storage root that is meant.
_atocore_list() {
        local place
        _atocore_place
        timeout 5 "$directory$1" "${place[@]}" --list 2>/dev/null | sed -nE "s/^($2)( .*)?$/\1/p"
}

# _atocore_add OPTION…: the words for `cur` that compgen makes of it.
_atocore_add() {
        local words
        mapfile -t words < <(compgen "$@" -- "$cur")
        COMPREPLY+=("${words[@]}")
}

# What may stand for an argument that is called "DIR", "STAMP latest", "zstd|gzip|none".
_atocore_argument() {
        local kind
        for kind in ${1//|/ }; do
                case $kind in
                DIR) compopt -o filenames 2>/dev/null; _atocore_add -d ;;
                FILE) compopt -o filenames 2>/dev/null; _atocore_add -f ;;
                ARCHIVE) compopt -o filenames 2>/dev/null; _atocore_add -f -X '!*.tar*' ;;
                STAMP) _atocore_add -W "$(_atocore_list atocore-backup '[0-9]{8}T[0-9]{6}Z')" ;;
                PROJECT) _atocore_add -W "$(_atocore_list atocore-ingest '[^ ]+')" ;;
                *:* | [A-Z]*) ;;
                *) _atocore_add -W "$kind" ;;
                esac
        done
}

_atocore() {
        local program=$1 cur=${COMP_WORDS[COMP_CWORD]} directory='' option='' prefix='' argument
        [[ $program != */* ]] || directory=${program%/*}/
        COMPREPLY=()

        # "--root=/srv" is one word or three, as COMP_WORDBREAKS has it.
        if [[ $cur == --*=* ]]; then
                option=${cur%%=*} prefix=$option= cur=${cur#*=}
        elif [[ $cur == "=" ]]; then
                option=${COMP_WORDS[COMP_CWORD - 1]} cur=''
        elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == "=" ]]; then
                option=${COMP_WORDS[COMP_CWORD - 2]}
        fi
        if [[ -n $option ]]; then
                argument=$(_atocore_takes "$option")
                _atocore_argument "${argument#\[}"
                COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
                return
        fi

        argument=$(_atocore_takes "${COMP_WORDS[COMP_CWORD - 1]}")
        if [[ -n $argument && $argument != \[* ]]; then
                _atocore_argument "$argument"
        elif [[ $cur == -* ]]; then
                _atocore_add -W "$(_atocore_options "$program" | cut -d ' ' -f 1)"
        else
                _atocore_argument "$(_atocore_operands "$program")"
        fi
}

complete -F _atocore atocored atocore-ingest atocore-backup atocore-validate atocore-prune \
        atocore-restore atocore-drill atocore-ship atocore-watch
