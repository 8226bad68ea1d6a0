#!/bin/sh
# `sharestream` on the path: the program of this folder, on the Node that `npm ci` brought, else on that of the machine.
set -eu
root="$(dirname "$(readlink -f "$0")")/../.."
node="$root/node_modules/node/bin/node"
if [ ! -x "$node" ]; then
  node=node
  # A Node that is too old cannot read the program, and would not say why.
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 24 || (a == 24 && b >= 15) ? 0 : 1)' || {
    echo "node_too_old: Sharestream needs Node 24.15 or newer, which \`npm ci\` in its folder brings" >&2
    exit 1
  }
fi
exec "$node" "$root/src/main.ts" "$@"
