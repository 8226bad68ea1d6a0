import { CodedError } from '../base/errors.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import type { ChainStanding } from '../chain/chain-clock.ts';
import { isDueByClock } from '../chain/projection.ts';
import type { ChainTip } from '../chain/source.ts';
import { StakeSettlement } from '../settlement/stake-settlement.ts';
import { MinerChain } from './miner-chain.ts';
import type { MinerContractDeps, MinerSettings } from './miner-options.ts';
import type { MinerStore } from './miner-store.ts';

/** What follows from a look. */
export type ChainLooksHooks = {
  /** Called with each tip, before it is looked at. */
  readonly onTip: (tip: ChainTip) => void;
  /** Called when the chain was looked at, before and after `consult`. */
  readonly onLooked: () => void;
  /** Asks the maker for what the look made due. */
  readonly consult: () => Promise<void>;
  readonly onChange: () => void;
};

/**
 * Looks at the chain for one contract: depth, readiness, expiry, close, one look after another and apart
 * from what may wait for the maker. The state machine (`transition`) decides what follows.
 */
export class ChainLooks {
  readonly onChain: MinerChain;
  readonly stakes: StakeSettlement;
  readonly #store: MinerStore;
  readonly #settings: MinerSettings;
  readonly #hooks: ChainLooksHooks;
  readonly #deps: MinerContractDeps;
  readonly #serial = new SerialQueue();
  #tip: ChainTip | undefined;
  #stops: (() => void)[] = [];
  #isStopped = false;

  constructor(store: MinerStore, settings: MinerSettings, hooks: ChainLooksHooks, deps: MinerContractDeps) {
    this.#store = store;
    this.#settings = settings;
    this.#hooks = hooks;
    this.#deps = deps;
    this.onChain = new MinerChain(store, deps);
    this.stakes = new StakeSettlement('miner', store, deps);
  }

  /** Watches the tip, and the clock where no node answers, until `stop`. */
  start(): void {
    const stopTip = this.#deps.chain.watchTip((tip) => {
      this.#tip = tip;
      this.#hooks.onTip(tip);
      this.look();
    });
    const stopClock = this.#deps.chainClock?.watch((standing) => this.#onStanding(standing));
    this.#stops = stopClock === undefined ? [stopTip] : [stopTip, stopClock];
  }

  /** The height of the newest tip; undefined before the first. */
  get height(): number | undefined {
    return this.#tip?.height;
  }

  /** True once nothing of the contract is left on the chain. */
  get isSettled(): boolean {
    return this.#store.state.watch.isOver && this.stakes.isOver;
  }

  /** Looks at the chain, as after each tip and each change of the connection. */
  look(): void {
    const tip = this.#tip;
    if (tip === undefined || this.#isStopped) return;
    const { onLooked, consult, onChange } = this.#hooks;
    this.#serial
      .run(async () => {
        const newest = this.#tip ?? tip;
        // The one that fails holds up no other.
        try {
          await this.onChain.onTip(newest);
        } finally {
          await this.stakes.onTip(newest);
        }
      })
      .then(() => {
        onLooked();
        return consult();
      })
      .then(onLooked, (error: unknown) => {
        this.#warn(error, 'looking at the chain failed');
        onChange();
      });
  }

  /** Broadcasts the newest state without the maker. Throws as `MinerChain.closeAlone`. */
  async closeAlone(): Promise<void> {
    await this.#serial.run(() => this.onChain.closeAlone()).finally(this.#hooks.onChange);
  }

  stop(): void {
    this.#isStopped = true;
    for (const stop of this.#stops) stop();
  }

  /** Waits for what was begun. */
  async idle(): Promise<void> {
    await this.#serial.run(async () => {});
  }

  /**
   * Takes no new work while the chain is stalled, and counts heights by the clock where no node answers.
   */
  #onStanding(standing: ChainStanding): void {
    const { onChange } = this.#hooks;
    const { terms, margins } = this.#settings;
    this.#store.setStalled(standing.isStalled);
    onChange();
    if (!isDueByClock(standing, terms.expiryHeight - margins.broadcastBlocks)) return;
    const { projectedHeight } = standing;
    if (projectedHeight === undefined) return;
    this.#serial
      .run(() => this.onChain.onClock(projectedHeight))
      .then(onChange, (error: unknown) => this.#warn(error, 'closing by the clock failed'));
  }

  #warn(error: unknown, what: string): void {
    if (!(error instanceof CodedError)) throw error;
    this.#deps.log.warn({ code: error.code, detail: error.message }, what);
  }
}
