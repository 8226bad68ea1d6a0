import {
  type ChannelView,
  transition,
  type WatchEffect,
  type WatchEvent,
  type WatchOptions,
  type WatchState,
  wantsFeeRate,
  watchFrom,
} from '../../src/chain/watcher.ts';

export const LADDER = [1_100, 5_000, 20_000, 80_000].map((satPerKvb) => ({
  satPerKvb,
  feeSat: (265n * BigInt(satPerKvb) + 999n) / 1000n,
  vsize: 265,
}));
export const REFUND_VSIZE = 130;
export const MINER_OUTPUT_SAT = 100_000n;
export const CHILD = { vsize: 110, outputSat: MINER_OUTPUT_SAT, dustSat: 294n };

type Transaction = {
  readonly id: string;
  readonly kind: 'funding' | 'state' | 'refund' | 'together';
  readonly feeSat: bigint;
  /** Of the child that waits with it. */
  childSat: bigint;
};

/** A chain with one channel in it: what a node would say of the funding and of what spends it. */
export class ModelChain {
  readonly expiryHeight: number;
  satPerKvb = 2_000;
  /** Each block, by what of the channel it holds. */
  readonly #blocks: Transaction[][] = [];
  #mempool: Transaction[] = [];
  readonly #base: number;

  constructor(baseHeight: number, expiryHeight: number) {
    this.#base = baseHeight;
    this.expiryHeight = expiryHeight;
  }

  get height(): number {
    return this.#base + this.#blocks.length;
  }

  mine(isEmpty: boolean): void {
    const isValid = (each: Transaction): boolean =>
      each.kind !== 'refund' || this.height + 1 > this.expiryHeight;
    const taken = isEmpty ? [] : this.#mempool.filter(isValid);
    this.#mempool = this.#mempool.filter((each) => !taken.includes(each));
    this.#blocks.push(taken);
  }

  reorg(depth: number, replaced: number): void {
    const back = this.#blocks.splice(Math.max(this.#blocks.length - depth, 0)).flat();
    const waiting = this.#mempool;
    this.#mempool = [];
    for (const each of [...back, ...waiting]) this.send(each);
    for (let left = replaced; left > 0; left -= 1) this.mine(true);
  }

  forget(): void {
    this.#mempool = [];
  }

  /** As a mempool takes it: the funding first, one spend at a time, replaced by a higher fee only. */
  send(transaction: Transaction): boolean {
    if (this.#find(transaction.kind === 'funding' ? 'funding' : 'spend', true) !== undefined) return false;
    if (transaction.kind === 'funding') {
      if (this.#find('funding', false) === undefined) this.#mempool.push(transaction);
      return true;
    }
    if (this.#find('funding', true) === undefined && this.#find('funding', false) === undefined)
      return false;
    if (transaction.kind === 'refund' && this.height < this.expiryHeight) return false;
    const waiting = this.#mempool.find(({ kind }) => kind !== 'funding');
    if (waiting?.id === transaction.id) return true;
    if (waiting !== undefined && transaction.feeSat <= waiting.feeSat + waiting.childSat) return false;
    this.#mempool = [...this.#mempool.filter((each) => each !== waiting), transaction];
    return true;
  }

  pay(id: string, childSat: bigint): boolean {
    const parent = this.#mempool.find((each) => each.id === id);
    if (parent === undefined) return false;
    if (childSat > parent.childSat) parent.childSat = childSat;
    return true;
  }

  get spend(): { readonly id: string; readonly kind: string; readonly depth: number } | undefined {
    const inBlock = this.#find('spend', true);
    if (inBlock !== undefined) return inBlock;
    const waiting = this.#mempool.find(({ kind }) => kind !== 'funding');
    return waiting === undefined ? undefined : { ...waiting, depth: 0 };
  }

  get waiting(): Transaction | undefined {
    return this.#mempool.find(({ kind }) => kind !== 'funding');
  }

  view(canResend: boolean, closeId: string | undefined): ChannelView {
    const { spend } = this;
    const confirmed = this.#find('funding', true);
    const coinDepth =
      spend === undefined
        ? (confirmed?.depth ?? (this.#find('funding', false) ? 0 : undefined))
        : undefined;
    return {
      coinDepth,
      spendDepth: spend?.depth,
      isOurs: spend !== undefined && spend.id === closeId,
      canResend,
      satPerKvb: this.satPerKvb,
      ladder: LADDER,
      refundVsize: REFUND_VSIZE,
      child: CHILD,
    };
  }

  #find(
    what: 'funding' | 'spend',
    inBlock: boolean,
  ): { id: string; kind: string; depth: number } | undefined {
    const matches = ({ kind }: Transaction): boolean => (kind === 'funding') === (what === 'funding');
    if (!inBlock) {
      const waiting = this.#mempool.find(matches);
      return waiting === undefined ? undefined : { ...waiting, depth: 0 };
    }
    const index = this.#blocks.findIndex((block) => block.some(matches));
    if (index === -1) return undefined;
    return { ...this.#blocks[index]!.find(matches)!, depth: this.#blocks.length - index };
  }
}

/** One party: what it has on disk, what it remembers, and every effect it was told to do. */
export class ModelParty {
  readonly options: WatchOptions;
  readonly chain: ModelChain;
  state: WatchState;
  closeId: string | undefined;
  /** Of the last look. */
  effects: WatchEffect[] = [];
  /** Called with each transition. */
  onStep: (
    before: WatchState,
    event: WatchEvent,
    after: WatchState,
    effects: readonly WatchEffect[],
  ) => void = () => {};

  constructor(options: WatchOptions, chain: ModelChain) {
    this.options = options;
    this.chain = chain;
    this.state = watchFrom('funding', undefined);
  }

  /** What is on disk stays, the rest is forgotten. */
  restart(): void {
    this.state = watchFrom(this.state.status, this.state.close);
  }

  look(type: 'tip' | 'close_alone' = 'tip'): void {
    this.effects = [];
    for (const canResend of [true, false]) {
      const seen = this.chain.view(canResend, this.closeId);
      const wanted =
        type === 'close_alone' || wantsFeeRate(this.options, this.state, seen, this.chain.height);
      const event: WatchEvent = { type, view: wanted ? seen : { ...seen, satPerKvb: 0 } };
      const before = this.state;
      const { state, effects } = transition(this.options, before, event, this.chain.height);
      this.state = state;
      this.effects.push(...effects);
      this.onStep(before, event, state, effects);
      for (const effect of effects) this.#follow(effect);
      if (!effects.some((effect) => effect.type === 'send_funding')) return;
    }
  }

  #follow(effect: WatchEffect): void {
    const { chain } = this;
    if (effect.type === 'send_funding')
      chain.send({ id: 'F', kind: 'funding', feeSat: 500n, childSat: 0n });
    if (effect.type === 'close_alone') {
      const { feeSat } = LADDER[effect.rung]!;
      this.closeId = `S${effect.rung}`;
      chain.send({ id: this.closeId, kind: 'state', feeSat, childSat: 0n });
    }
    if (effect.type === 'refund') {
      const { feeSat } = this.state.close!;
      this.closeId = `R${feeSat}`;
      chain.send({ id: this.closeId, kind: 'refund', feeSat, childSat: 0n });
    }
    if (effect.type === 'send_close') {
      const { kind, feeSat } = this.state.close!;
      chain.send({ id: this.closeId!, kind, feeSat, childSat: 0n });
    }
    if (effect.type === 'pay_child') chain.pay(this.closeId!, effect.feeSat);
  }
}
