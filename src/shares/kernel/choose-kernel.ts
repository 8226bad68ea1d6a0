import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { toHex } from '../../base/bytes.ts';
import { sha256 } from '../../base/hash.ts';
import { isRecord } from '../../base/json.ts';
import type { Logger } from '../../log/logger.ts';
import { KERNEL_KINDS, type KernelKind } from './create-kernel.ts';
import { NATIVE_KERNEL_FILE } from './native-hasher.ts';
import { SIMD_KERNEL_WASM_BASE64 } from './simd-kernel.wasm.ts';

/** The name of the file that keeps the choice, in a daemon's data folder. */
export const KERNEL_CACHE = 'kernel.json';

/** How a trial ended. `unknown`: it could not be made, which says nothing of the kernel. */
export type Trial =
  | { readonly outcome: 'works' }
  | { readonly outcome: 'fails' | 'unknown'; readonly detail: string };

export type ChooseKernelDeps = {
  readonly log: Logger;
  /** By default in a child process. */
  readonly tryKernel?: (kind: KernelKind) => Promise<Trial>;
  /** The native kernel, which need not be there. */
  readonly nativeFile?: string;
};

/** A loaded machine needs seconds; one that is done after this is stuck. */
const TRIAL_MS = 60_000;
/** Of what a compiler says when it dies. */
const DETAIL_CHARS = 200;

/**
 * The fastest kernel that this Node compiles and runs right on this processor. A compiler that fails ends its
 * process, so each kind is tried in a child process first; what came of it is kept, and tried again after a
 * change of Node, V8, processor or kernel.
 * @param cachePath a file that need not exist and may not be writable
 */
export async function chooseKernelKind(cachePath: string, deps: ChooseKernelDeps): Promise<KernelKind> {
  const { log, tryKernel = tryInChild, nativeFile = NATIVE_KERNEL_FILE } = deps;
  const kinds = existsSync(nativeFile) ? KERNEL_KINDS : KERNEL_KINDS.slice(1);
  const machine = machineKey(nativeFile);
  const known = readCache(cachePath, machine);
  const { kind, isCertain } = known ?? (await firstThatWorks(kinds, tryKernel, log));
  if (known === undefined && isCertain) writeCache(cachePath, { machine, kind }, log);
  if (kind !== kinds[0])
    log.warn({ code: 'kernel_fallback', kernel: kind }, 'a slower share kernel is used');
  return kind;
}

type Choice = { readonly kind: KernelKind; readonly isCertain: boolean };

async function firstThatWorks(
  kinds: readonly KernelKind[],
  tryKernel: (kind: KernelKind) => Promise<Trial>,
  log: Logger,
): Promise<Choice> {
  let isCertain = true;
  for (const kind of kinds) {
    if (kind === 'portable') break;
    const trial = await tryKernel(kind);
    if (trial.outcome === 'works') return { kind, isCertain };
    // Nothing of it is experimental, so it needs no trial to be better than none.
    if (trial.outcome === 'unknown' && kind === 'simd_plain') return { kind, isCertain: false };
    log.warn(
      { code: 'kernel_fallback', kernel: kind, detail: trial.detail },
      'a share kernel does not work here',
    );
    if (trial.outcome === 'unknown') isCertain = false;
  }
  return { kind: 'portable', isCertain };
}

function tryInChild(kind: KernelKind): Promise<Trial> {
  const file = import.meta.url.endsWith('.ts') ? './kernel-trial.ts' : './kernel-trial.js';
  const program = fileURLToPath(new URL(file, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [program, kind], { timeout: TRIAL_MS }, (error, stdout, stderr) => {
      if (error === null) {
        resolve(stdout === kind ? { outcome: 'works' } : { outcome: 'fails', detail: `it is ${stdout}` });
        return;
      }
      // Killed, by our time-out or for want of memory, or never started: none says that the kernel is broken.
      const isUnknown =
        typeof error.code === 'string' || ['SIGKILL', 'SIGTERM'].includes(error.signal ?? '');
      const said = stderr.replace(/[\s#]+/g, ' ').trim() || error.message;
      resolve({ outcome: isUnknown ? 'unknown' : 'fails', detail: said.slice(0, DETAIL_CHARS) });
    });
  });
}

/** All that the outcome of a trial follows from. */
function machineKey(nativeFile: string): string {
  const native = existsSync(nativeFile) ? [readFileSync(nativeFile)] : [];
  const kernel = toHex(sha256(Buffer.concat([Buffer.from(SIMD_KERNEL_WASM_BASE64), ...native]))).slice(
    0,
    16,
  );
  return [process.version, process.versions.v8, process.arch, cpus()[0]?.model ?? '', kernel].join(' ');
}

function readCache(path: string, machine: string): Choice | undefined {
  try {
    const cached: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (!isRecord(cached) || cached['machine'] !== machine) return undefined;
    const kind = KERNEL_KINDS.find((known) => known === cached['kind']);
    return kind === undefined ? undefined : { kind, isCertain: true };
  } catch {
    return undefined;
  }
}

function writeCache(path: string, cached: Readonly<Record<string, string>>, log: Logger): void {
  const temporary = `${path}.${randomUUID()}`;
  try {
    writeFileSync(temporary, `${JSON.stringify(cached)}\n`, { mode: 0o600 });
    renameSync(temporary, path);
  } catch (error) {
    log.debug({ err: error }, 'the share kernel is tried again at the next start');
  }
}
