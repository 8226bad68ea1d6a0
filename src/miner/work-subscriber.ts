import { backoffMs } from '../base/backoff.ts';
import { type Clock, type Random, sleep, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { LimitHits } from '../base/limits.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Logger } from '../log/logger.ts';
import { OFFERED_FEATURES } from '../peer/features.ts';
import { authenticate } from '../peer/handshake.ts';
import { Overruns, PeerBudget } from '../peer/overruns.ts';
import { DEFAULT_RPC, RpcPeer } from '../peer/rpc-peer.ts';
import { connectPeer, DEFAULT_TRANSPORT } from '../peer/transport.ts';
import { identityOfSigner, type SignerTree } from '../settlement/opening.ts';
import type { WorkDestination } from './work-destination.ts';
import { type Subscription, workHandlers, workLink } from './work-link.ts';

export type WorkSubscriberOptions = {
  readonly terms: ContractTerms;
  readonly host: string;
  readonly port: number;
  readonly subscription: Subscription;
};

export type WorkSubscriberDeps = {
  readonly work: WorkDestination;
  readonly genesisHash: () => Promise<string>;
  readonly signer: SignerTree;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly connect?: typeof connectPeer;
};

const BACKOFF = { baseMs: 500, maxMs: 15_000 };
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * The link of one process to the maker for jobs alone: whoever has the channel brings the work. Connects
 * again and again until it is stopped.
 */
export class WorkSubscriber {
  readonly #options: WorkSubscriberOptions;
  readonly #deps: WorkSubscriberDeps;
  readonly #abort = new AbortController();
  readonly #limitHits: LimitHits = {};
  readonly #budget: PeerBudget;
  #peer: RpcPeer | undefined;
  #loop: Promise<void> | undefined;

  constructor(options: WorkSubscriberOptions, deps: WorkSubscriberDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#budget = new PeerBudget({ ...deps, limitHits: this.#limitHits });
  }

  get isConnected(): boolean {
    return this.#peer !== undefined;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#peer?.close();
    this.#deps.work.stop();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { log, timers, random, work } = this.#deps;
    const { signal } = this.#abort;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const reason = await this.#session().catch((error: unknown) => error);
      if (this.#peer !== undefined) attempt = 0;
      this.#peer = undefined;
      work.disconnected();
      if (!(reason instanceof CodedError)) throw reason;
      log.info({ code: reason.code, detail: reason.message }, 'the connection for jobs of the maker ended');
      if (!signal.aborted) await sleep(timers, backoffMs(BACKOFF, attempt, random), signal);
    }
  }

  /** One connection, to its end; returns or throws what ended it. */
  async #session(): Promise<CodedError> {
    const { terms, host, port, subscription } = this.#options;
    const { work, genesisHash, signer, timers, random, log, connect = connectPeer } = this.#deps;
    const { signal } = this.#abort;
    const to = { ...DEFAULT_TRANSPORT, host, port, connectTimeoutMs: CONNECT_TIMEOUT_MS, signal };
    const hash = await genesisHash();
    const link = await connect(to, { timers });
    const peer = new RpcPeer(link, DEFAULT_RPC, { log, timers });
    await authenticate(peer, 'client', {
      ...{ identity: identityOfSigner(signer), genesisHash: hash, features: OFFERED_FEATURES },
      isKnown: (nodeId) => nodeId === terms.makerNodeId,
      ...{ random, timers, timeoutMs: CONNECT_TIMEOUT_MS },
    });
    if (signal.aborted) peer.close();
    link.paceReads(this.#budget.read);
    const overruns = new Overruns(peer, this.#limitHits, this.#deps);
    peer.serve(
      this.#budget.guard({ ping: async () => ({}), ...workHandlers(work, subscription) }, overruns),
      'unknown_method',
    );
    this.#peer = peer;
    work.connected(workLink(peer, subscription));
    return peer.closed;
  }
}
