#!/bin/sh
# Makes a small repository with a history: sh make_sample.sh DIRECTORY
set -eu
mkdir "$1"
cd "$1"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=Ann GIT_AUTHOR_EMAIL=ann@example.com GIT_COMMITTER_NAME=Ann GIT_COMMITTER_EMAIL=ann@example.com
export GIT_AUTHOR_DATE="2026-01-01T00:00:00Z" GIT_COMMITTER_DATE="2026-01-01T00:00:00Z"
git init -q -b main
number=0
while IFS= read -r subject; do
  number=$((number + 1))
  echo "$subject" >> changes.txt
  git add changes.txt
  git commit -q -m "$subject"
  if [ "$number" = 2 ]; then git tag v1.0; fi
done << 'END'
First import
Docs: how to install it
Add a search box to the list of orders
Fix the sum of an empty basket
Orders can be exported as CSV
Support amounts in several currencies
Test the export with umlauts
The window shows the cheapest price again
Rename basket to cart everywhere
END
