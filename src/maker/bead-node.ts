import type { Clock, Random, Timers } from '../base/clock.ts';
import type { Logger } from '../log/logger.ts';
import type { Bead } from '../upstream/bead.ts';
import { BeadStream } from '../upstream/bead-stream.ts';
import { BraidpoolRpc } from '../upstream/braidpool-rpc.ts';
import type { BeadSource } from './bead-binding.ts';

export type BeadNodeDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
};

/** The maker's own Braidpool node: asked by JSON-RPC, and heard by its subscription where it has one. */
export class BeadNode implements BeadSource {
  readonly #rpc: BraidpoolRpc;
  readonly #stream: BeadStream;
  readonly #listeners = new Set<(bead: Bead) => void>();

  constructor(options: { readonly rpcUrl: string }, deps: BeadNodeDeps) {
    this.#rpc = new BraidpoolRpc({ url: options.rpcUrl }, deps);
    this.#stream = new BeadStream(
      { url: options.rpcUrl.replace(/^http/, 'ws') },
      { ...deps, onBead: (bead) => this.#tell(bead) },
    );
  }

  start(): void {
    this.#stream.start();
  }

  stop(): void {
    this.#stream.stop();
    this.#rpc.close();
  }

  getBead(hash: string): Promise<Bead | undefined> {
    return this.#rpc.getBead(hash);
  }

  onBead(tell: (bead: Bead) => void): () => void {
    this.#listeners.add(tell);
    return () => this.#listeners.delete(tell);
  }

  #tell(bead: Bead): void {
    for (const tell of this.#listeners) tell(bead);
  }
}
