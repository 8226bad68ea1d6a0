import type { AsicLink } from './asic-link.ts';
import type { AsicBehaviour } from './asic-spec.ts';

const MEAN_GAP_MS = { flaky: 10_000, slow_reader: 10_000, garbage: 2_000 } as const;
const PAUSE_MS = { least: 2_000, most: 8_000 } as const;
/** Far from the ids of honest requests. */
const GARBAGE_ID = 2_000_000_000;

/**
 * What an ASIC does wrong beside its shares, at random times: it hangs up, stops reading, or talks
 * nonsense.
 */
export class AsicMisdeeds {
  count = 0;
  readonly #kind: keyof typeof MEAN_GAP_MS | undefined;
  readonly #link: AsicLink;
  readonly #random: () => number;
  #nextMs: number | undefined;
  #resumeMs: number | undefined;

  constructor(behaviour: AsicBehaviour, deps: { readonly link: AsicLink; readonly random: () => number }) {
    const isTimed = behaviour === 'flaky' || behaviour === 'slow_reader' || behaviour === 'garbage';
    this.#kind = isTimed ? behaviour : undefined;
    this.#link = deps.link;
    this.#random = deps.random;
  }

  /** Called often while connected. */
  tick(nowMs: number): void {
    if (this.#kind === undefined) return;
    if (this.#resumeMs !== undefined && nowMs >= this.#resumeMs) {
      this.#resumeMs = undefined;
      this.#link.resume();
    }
    this.#nextMs ??= this.#later(nowMs, this.#kind);
    if (nowMs < this.#nextMs) return;
    this.#nextMs = this.#later(nowMs, this.#kind);
    this.#misbehave(this.#kind, nowMs);
  }

  #later(nowMs: number, kind: keyof typeof MEAN_GAP_MS): number {
    return nowMs - Math.log(1 - this.#random()) * MEAN_GAP_MS[kind];
  }

  #misbehave(kind: keyof typeof MEAN_GAP_MS, nowMs: number): void {
    this.count += 1;
    switch (kind) {
      case 'flaky':
        this.#link.drop();
        break;
      case 'slow_reader':
        this.#link.pause();
        this.#resumeMs = nowMs + PAUSE_MS.least + this.#random() * (PAUSE_MS.most - PAUSE_MS.least);
        break;
      case 'garbage':
        this.#link.sendText(garbageLine(this.#random));
        break;
    }
  }
}

/** One line that no miner should send. */
export function garbageLine(random: () => number): string {
  const id = GARBAGE_ID + Math.floor(random() * 1000);
  const lines: readonly (() => string)[] = [
    () => String.fromCharCode(...Array.from({ length: 64 }, () => Math.floor(random() * 0xffff))),
    () => '['.repeat(500),
    () => `{"id":${id},"method":"mining.submit","params":${'['.repeat(50)}${']'.repeat(50)}}`,
    () => `{"id":1e400,"method":"__proto__","params":{"__proto__":{"polluted":true}}}`,
    () => `{"id":${id},"method":"mining.submit","params":["w","j","zz","0","-1"],"id":${id + 1}}`,
    () => `{"id":${id},"method":"mining.submit","params":[null,1,{},[],true,"ffffffff"]}`,
    () =>
      `{"id":${id},"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":7}]}`,
    () => `{"id":${id},"method":"mining.${'x'.repeat(2048)}"}`,
    () => `{"id":{"deep":[${id}]},"method":"mining.ping"}`,
    () => 'GET / HTTP/1.1\r\nHost: pool\r\n\r',
    () => 'null',
    () => '\0'.repeat(100),
  ];
  const line = lines[Math.floor(random() * lines.length)]!();
  return `${line.replaceAll('\n', ' ')}\n`;
}
