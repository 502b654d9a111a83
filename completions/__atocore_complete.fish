# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Fish completion of AtoCore's programs. Nothing here has to be kept in step with them, they are
# asked: for options and what these take by --help, for stamps and projects by --list, on the
# storage root of the command line. What cannot be read is not offered.

# __atocore_list PROGRAM PATTERN: the first words of the lines of `PROGRAM --list`, on the storage
# root that is meant.
function __atocore_list
    set -l place
    set -l words (commandline -opc)
    for option in --root --config
        set -l value (string replace -f -- $option= '' $words)
        if set -l index (contains -i -- $option $words)
            set value $words[(math $index + 1)]
        end
        set -q value[1]; and set -a place $option (string replace -r -- '^~/' ~/ $value[1])
    end
    timeout 5 $argv[1] $place --list 2>/dev/null | string match -rg -- "^($argv[2])(?: .*)?\$"
end

# What may stand for an argument that is called "DIR", "STAMP|latest", "zstd|gzip|none".
function __atocore_argument
    for kind in (string split '|' -- $argv[1])
        switch $kind
            case DIR
                __fish_complete_directories (commandline -ct | string replace -r '^--[^=]*=' '') ''
            case FILE
                __fish_complete_path (commandline -ct | string replace -r '^--[^=]*=' '')
            case ARCHIVE
                __fish_complete_path (commandline -ct | string replace -r '^--[^=]*=' '') |
                    string match -r -- '^[^\t]*(?:/|\.tar[^\t/]*)(?:\t.*)?$'
            case STAMP
                __atocore_list atocore-backup '[0-9]{8}T[0-9]{6}Z'
            case PROJECT
                __atocore_list atocore-ingest '\S+'
            case '*:*' '[A-Z]*'
            case '*'
                string match -qr '^[a-z]' -- $kind; and echo $kind
        end
    end
end

function __atocore_complete --argument-names program
    complete -c $program -f
    for line in ($program --help 2>/dev/null)
        if set -l operands (string match -rg '^Usage: \S+ \[OPTION\.\.\.\] ?(.*)' -- $line)
            set operands (string replace -ra '[][ .…]+' '|' -- $operands | string trim -c '|')
            test -n "$operands"; and complete -c $program -a "(__atocore_argument '$operands')"
        else if set -l option (string match -r -- \
                '^  ((?:-.,)?) +--([a-z0-9-]+)((?:\[=[^] ]+\]| \S+)?)  +(.*)$' $line)
            set -l letter
            test -n "$option[2]"; and set letter -s (string trim -c '-,' -- $option[2])
            set -l argument (string replace -r '^ |^\[=(.*)\]$' '$1' -- $option[4])
            set -l takes
            test -n "$argument"; and set takes -a "(__atocore_argument '$argument')"
            string match -q ' *' -- $option[4]; and set -a takes -x
            complete -c $program $letter -l $option[3] -d $option[5] $takes
        end
    end
end
