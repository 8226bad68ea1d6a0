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
export const CHILD_VSIZE = 110;
export const SAVED = { outputSat: MINER_OUTPUT_SAT, dustSat: 294n };

type Transaction = {
  readonly id: string;
  readonly kind: 'funding' | 'state' | 'refund' | 'together';
  readonly feeSat: bigint;
  readonly vsize: number;
  /** Of the child that waits with it, and its size. */
  childSat: bigint;
  childVsize: number;
};

type Sent = Pick<Transaction, 'id' | 'kind' | 'feeSat'>;

const VSIZES = { funding: 300, state: LADDER[0]!.vsize, refund: REFUND_VSIZE, together: 179 } as const;

/** A chain with one channel in it: what a node would say of the funding and of what spends it. */
export class ModelChain {
  readonly expiryHeight: number;
  refundMostSat: bigint | undefined;
  satPerKvb = 3_000;
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
  send(sent: Sent): boolean {
    const transaction = { ...sent, vsize: VSIZES[sent.kind], childSat: 0n, childVsize: 0 };
    if (this.#find(transaction.kind === 'funding' ? 'funding' : 'spend', true) !== undefined) return false;
    if (transaction.kind === 'funding') {
      if (this.#find('funding', false) === undefined) this.#mempool.push(transaction);
      return true;
    }
    if (this.#find('funding', true) === undefined && this.#find('funding', false) === undefined)
      return false;
    if (transaction.kind === 'refund' && this.height < this.expiryHeight) return false;
    return this.#replace(transaction);
  }

  /** A close and its child as one package. */
  sendPackage(sent: Sent, childSat: bigint): boolean {
    this.send(sent);
    const parent = this.#mempool.find((each) => each.id === sent.id);
    const child = { childSat, childVsize: CHILD_VSIZE };
    if (parent === undefined) return this.#replace({ ...sent, vsize: VSIZES[sent.kind], ...child });
    if (childSat < parent.childSat + BigInt(parent.childSat > 0n ? CHILD_VSIZE : 0)) return false;
    Object.assign(parent, child);
    return true;
  }

  /** The other side hangs a child of its own on what waits. */
  pin(childSat: bigint, childVsize: number): void {
    const { waiting } = this;
    if (waiting !== undefined && childSat > waiting.childSat)
      Object.assign(waiting, { childSat, childVsize });
  }

  /** By the absolute fee, that of the child included, and by the rate. */
  #replace(transaction: Transaction): boolean {
    const { waiting } = this;
    if (waiting?.id === transaction.id) return true;
    const sizeOf = ({ vsize, childVsize }: Transaction): number => vsize + childVsize;
    const paidOf = ({ feeSat, childSat }: Transaction): bigint => feeSat + childSat;
    if (waiting !== undefined) {
      const moreSat = BigInt(sizeOf(transaction));
      if (paidOf(transaction) < paidOf(waiting) + moreSat) return false;
      if (paidOf(transaction) * BigInt(waiting.vsize) <= waiting.feeSat * moreSat) return false;
    }
    this.#mempool = [...this.#mempool.filter((each) => each !== waiting), transaction];
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
      ...(this.refundMostSat === undefined ? {} : { refundMostSat: this.refundMostSat }),
      saved: SAVED,
      childVsize: CHILD_VSIZE,
      ...this.#facts(),
    };
  }

  #facts(): Pick<ChannelView, 'isRival' | 'waiting'> {
    if (this.#find('spend', true) !== undefined || this.waiting === undefined) return {};
    const { kind, feeSat, vsize, childSat, childVsize } = this.waiting;
    const waiting = { feeSat, vsize, packageFeeSat: feeSat + childSat, packageVsize: vsize + childVsize };
    return { isRival: kind === 'refund', waiting };
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
    if (effect.type === 'send_funding') chain.send({ id: 'F', kind: 'funding', feeSat: 500n });
    if (effect.type === 'close_alone') {
      const { feeSat } = LADDER[effect.rung]!;
      this.closeId = `S${effect.rung}`;
      chain.send({ id: this.closeId, kind: 'state', feeSat });
    }
    if (effect.type === 'refund') {
      const { feeSat } = this.state.close!;
      this.closeId = `R${feeSat}`;
      chain.send({ id: this.closeId, kind: 'refund', feeSat });
    }
    if (effect.type === 'send_close') {
      const { kind, feeSat } = this.state.close!;
      chain.send({ id: this.closeId!, kind, feeSat });
    }
    if (effect.type === 'pay_child') {
      const { kind, feeSat } = this.state.close!;
      chain.sendPackage({ id: this.closeId!, kind, feeSat }, effect.feeSat);
    }
  }
}
