import { Session } from 'node:inspector/promises';

/** Where the time of the main thread goes, by the file of what runs; the first that fits counts. */
const PARTS: readonly (readonly [part: string, file: RegExp])[] = [
  ['', /^node:inspector/],
  ['kernel', /^wasm:|\/shares\/(kernel\/|verify)/],
  ['duplicates', /\/(shares\/duplicates|maker\/credited-hashes)/],
  ['parsing', /\/stratum\//],
  ['verdicts, sessions', /\/shares\/|\/downstream\/session\/|\/mining\//],
  ['sockets', /\/downstream\/(io|server)\/|^node:(net|internal\/(stream|net|js_stream))/],
  ['records', /\/work\//],
  ['ledger', /\/ledger\//],
  ['peer link', /\/peer\//],
  ['selling', /\/miner\/|\/settlement\/|\/contract\//],
  ['maker', /\/maker\//],
];
/** What the profiler calls its own. `(program)` is what no JavaScript runs in: system calls, most of all. */
const SPECIAL: ReadonlyMap<string, string> = new Map([
  ['(program)', 'system calls, runtime'],
  ['(garbage collector)', 'garbage collection'],
  ['(idle)', ''],
  ['(root)', ''],
]);

/** Microseconds of CPU by part. */
export type Profile = Readonly<Record<string, number>>;

/** A profiler of the thread it is made in. */
export class PartProfiler {
  readonly #session = new Session();

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post('Profiler.enable');
    await this.#session.post('Profiler.setSamplingInterval', { interval: 500 });
    await this.#session.post('Profiler.start');
  }

  /** Resolves to what was taken since the start. */
  async stop(): Promise<Profile> {
    const { profile } = await this.#session.post('Profiler.stop');
    this.#session.disconnect();
    const partOf = partsOfNodes(profile.nodes);
    const micros: Record<string, number> = {};
    for (const [index, id] of (profile.samples ?? []).entries()) {
      const part = partOf.get(id)!;
      if (part === '') continue;
      micros[part] = (micros[part] ?? 0) + Math.max(0, profile.timeDeltas![index]!);
    }
    return micros;
  }
}

type Node = {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[] | undefined;
};

/** Native code, and modules of Node that no part names, count for the part that called them. */
function partsOfNodes(nodes: readonly Node[]): ReadonlyMap<number, string> {
  const parts = new Map<number, string>();
  // Callers come before what they call.
  for (const { id, callFrame, children = [] } of nodes) {
    const { functionName, url } = callFrame;
    const own = SPECIAL.get(functionName) ?? PARTS.find(([, file]) => file.test(url))?.[0];
    const part = own ?? parts.get(id) ?? 'other';
    parts.set(id, part);
    if (functionName !== '(root)') for (const child of children) parts.set(child, part);
  }
  return parts;
}

/** What a share costs by part, in microseconds of CPU: the parts of the main thread, and other threads. */
export type PartCosts = { readonly what: string; readonly micros: Profile };

/**
 * Spreads the CPU time of a thread over its parts as the profiler saw them: a machine that is busy with other
 * things is in the profile, and not in that time.
 */
export function spread(profile: Profile, cpuMicros: number): Profile {
  const seen = Object.values(profile).reduce((sum, micros) => sum + micros, 0);
  return Object.fromEntries(
    Object.entries(profile).map(([part, micros]) => [part, (micros / seen) * cpuMicros]),
  );
}

/** @param shares that the costs are of */
export function perShare(micros: Profile, shares: number): Profile {
  return Object.fromEntries(Object.entries(micros).map(([part, cost]) => [part, cost / shares]));
}
