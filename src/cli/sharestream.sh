#!/bin/sh
# `sharestream` on the path: the program of this folder, from its sources or as it was built, on the Node that came with
# it, else on that of the machine.
set -eu
root="$(dirname "$(readlink -f "$0")")/../.."
node="$root/node_modules/node/bin/node"
if [ ! -x "$node" ]; then
  node=node
  # A Node that is too old cannot read the program, and would not say why.
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 24 || (a == 24 && b >= 15) ? 0 : 1)' || {
    echo "node_too_old: Sharestream needs Node 24.15 or newer, which \`npm ci\` in a folder of its sources brings" >&2
    exit 1
  }
fi
program="$root/src/main.ts"
[ -f "$program" ] || program="$root/dist/main.js"
exec "$node" "$program" "$@"
