import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const MODULE = 'github.com/btcsuite/btcd';
const VERSION = 'v0.25.0';
const BUILD_TIMEOUT_MS = 10 * 60_000;

/** Where the suite keeps the btcd it built; `BTCD_PROGRAM` names another. */
export function btcdProgram(): string {
  const given = process.env['BTCD_PROGRAM'];
  if (given !== undefined && given !== '') return given;
  const cache = process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache');
  return path.join(cache, 'sharestream', `btcd-${VERSION}`, 'btcd');
}

/** Builds btcd from the Go module proxy unless it is there. Throws with the compiler's output. */
export function buildBtcd(): void {
  const program = btcdProgram();
  if (fs.existsSync(program)) return;
  const directory = path.dirname(program);
  fs.mkdirSync(directory, { recursive: true });
  // Built beside and renamed, so that a build cut short leaves nothing that looks whole.
  const partial = fs.mkdtempSync(path.join(directory, 'build-'));
  const { status, error, stderr } = spawnSync('go', ['install', `${MODULE}@${VERSION}`], {
    env: { ...process.env, GOBIN: partial },
    encoding: 'utf8',
    timeout: BUILD_TIMEOUT_MS,
  });
  if (status !== 0) {
    const why = error === undefined ? stderr : String(error);
    throw new Error(`go install ${MODULE}@${VERSION} failed; Go 1.22 or newer is needed: ${why}`);
  }
  fs.renameSync(path.join(partial, 'btcd'), program);
  fs.rmSync(partial, { recursive: true });
}
