#!/bin/sh
# Puts what is installed into one folder: the tool, its manual, its completions.
#
#     packaging/dist.sh PRODUCTS FOLDER
set -eu

products=$1
folder=$2
here=$(dirname "$0")
# The day of the last change, or of the files where there is no history.
date=$(git -C "$here" log -1 --format=%cs 2>/dev/null || date -r "$here/dist.sh" +%Y-%m-%d)

rm -rf "$folder"
mkdir -p "$folder/man" "$folder/completions"
cp "$products/hotpatch" "$folder/hotpatch"
"$products/hotpatch" --experimental-dump-help \
    | "$products/manual" --parts "$here/man" --output "$folder/man" --date "$date"
cp "$here/man/hpatch.5" "$here/man/hotpatch.service.8" "$folder/man/"
for shell in bash zsh fish; do
    # They are read by the shell, not run.
    "$products/hotpatch" --generate-completion-script "$shell" | sed '1{/^#!/d}' \
        > "$folder/completions/$shell"
done
