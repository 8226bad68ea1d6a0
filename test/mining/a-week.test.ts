import { expect, it } from 'vitest';
import {
  exposedWork,
  exposureRoom,
  isDelivering,
  PENDING_STREAM,
  type StreamEvent,
  type StreamRole,
  type StreamState,
  transition as stream,
} from '../../src/contract/stream.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import {
  highestPriceFrom,
  newestPriceMsatPerEh,
  paySatOf,
  withUpdates,
} from '../../src/contract/updated-terms.ts';
import { DeliveryGate } from '../../src/miner/delivery-gate.ts';
import { ExposureTotal } from '../../src/miner/exposure-total.ts';
import {
  NO_ROUTE,
  planText,
  type RoutedDestination,
  transition as route,
} from '../../src/mining/routing.ts';
import { FAILOVER_OPTIONS } from '../../src/upstream/failover.ts';
import { SPLIT_OPTIONS, transition as split, UNDIVIDED } from '../../src/upstream/split.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

/**
 * A week of one proxy with nine contracts of three makers, in virtual time: the real routing, division of
 * machines, gates and streams of both sides. One maker raises its price, one signs nothing for a day, and one
 * lies: from the third day on it credits nine tenths of the work, and says of the rest that it is none.
 */
const TH = 1_000_000_000_000n;
const EH = 1_000_000_000_000_000_000n;
const ROUND_MS = 30_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SHARE_HASHES = EH / 1000n;
const MACHINES = [500n, 500n, 400n, 300n, 250n, 200n, 120n, 90n, 60n, 30n, 12n, 1n].map((th) => th * TH);
const SUM = MACHINES.reduce((all, one) => all + one, 0n);
/** Per mille of the farm; a fifth of it is left for the miner's own pool. */
const PARTS = [200n, 150n, 110n, 100n, 80n, 60n, 50n, 30n, 20n];
const MAKERS = ['raising', 'silent', 'lying'] as const;
const SILENT = { fromMs: DAY_MS, toMs: 2 * DAY_MS };
const LIES_MS = 3 * DAY_MS;
const RAISES_MS = 4 * DAY_MS;

type Maker = (typeof MAKERS)[number];

/** One side's account of a contract. */
class Side {
  state: StreamState = PENDING_STREAM;
  #options: { readonly terms: ContractTerms; readonly role: StreamRole };

  constructor(terms: ContractTerms, role: StreamRole) {
    this.#options = { terms, role };
    this.apply({ type: 'state_signed', n: 0, workHashes: 0n, paidSat: 0n }, 0);
    this.apply({ type: 'funded', confirmations: terms.minDepth }, 0);
    this.apply({ type: 'channel_open' }, 0);
  }

  /** Both signed other terms. */
  agree(terms: ContractTerms): void {
    this.#options = { ...this.#options, terms };
  }

  apply(event: StreamEvent, nowMs: number) {
    const { state, effects } = stream(this.#options, this.state, event, nowMs);
    this.state = state;
    return effects;
  }
}

class Contract {
  readonly miner: Side;
  readonly buyer: Side;
  readonly gate: DeliveryGate;
  ownHashes = 0n;
  /** What the maker says is no work, for no reason that the miner confirms. */
  refusedHashes = 0n;
  #judgedHashes = 0n;
  /** Hashes towards the next share. */
  #towards = 0n;
  readonly name: string;
  readonly maker: Maker;
  readonly rate: bigint;
  terms: ContractTerms;

  constructor(at: number, total: ExposureTotal) {
    this.name = `c${at}`;
    this.maker = MAKERS[at % MAKERS.length]!;
    this.rate = (SUM * PARTS[at]!) / 1000n;
    this.terms = makeTermsV3({
      ...{ workTotalHashes: 1_000_000n * EH, budgetSat: 10n ** 12n, stepHashes: EH / 10n },
      ...{ maxUnpaidSteps: 4, price: { type: 'fixed', msatPerEh: 500_000n + 10_000n * BigInt(at) } },
    });
    this.miner = new Side(this.terms, 'miner');
    this.buyer = new Side(this.terms, 'maker');
    const priceMsatPerEh = newestPriceMsatPerEh(this.terms);
    this.gate = new DeliveryGate(
      { contractId: this.name, priceMsatPerEh },
      { timers: { afterTurn: () => {} }, total, onChange: () => {} },
    );
    this.#room();
  }

  get wants(): boolean {
    return isDelivering(this.miner.state) && !this.gate.isHeld;
  }

  work(hashes: bigint, nowMs: number): void {
    this.#towards += hashes;
    while (this.#towards >= SHARE_HASHES) {
      this.#towards -= SHARE_HASHES;
      if (!this.gate.admits(SHARE_HASHES)) continue;
      this.gate.landed(SHARE_HASHES);
      this.ownHashes += SHARE_HASHES;
      this.#count(nowMs);
    }
  }

  /** What was refused is unpaid. */
  #count(nowMs: number): void {
    const { ownHashes: deliveredHashes, refusedHashes } = this;
    const workHashes = deliveredHashes - refusedHashes;
    this.miner.apply({ type: 'work_verified', workHashes, deliveredHashes }, nowMs);
    this.#room();
  }

  /** A fifth more for all work from the next step on: both have signed it. */
  raise(): void {
    const { terms } = this;
    if (terms.version !== 3) throw new Error('only version 3 is updated');
    const update = {
      ...{ contractIdHex: '', previousHex: '', number: 1, nonceHex: '' },
      fromHashes: this.ownHashes + terms.stepHashes,
      priceMsatPerEh: (newestPriceMsatPerEh(terms) * 6n) / 5n,
    };
    this.terms = withUpdates(terms, [{ update, minerSignature: '', makerSignature: '' }]);
    for (const side of [this.miner, this.buyer]) side.agree(this.terms);
    this.#room();
  }

  /** The maker judges what was delivered, and signs. */
  buys(nowMs: number): void {
    const fresh = this.ownHashes - this.#judgedHashes;
    this.#judgedHashes = this.ownHashes;
    if (this.maker === 'lying' && nowMs >= LIES_MS && fresh > 0n) {
      this.refusedHashes += fresh / 10n;
      this.#count(nowMs);
    }
    const event = { type: 'work_verified', workHashes: this.ownHashes - this.refusedHashes } as const;
    for (const effect of this.buyer.apply(event, nowMs)) {
      if (effect.type !== 'sign_due') continue;
      const { n, workHashes } = effect;
      const paidSat = paySatOf(this.terms, workHashes);
      for (const side of [this.buyer, this.miner])
        side.apply({ type: 'state_signed', n, workHashes, paidSat }, nowMs);
    }
    this.#room();
  }

  #room(): void {
    this.gate.setPrice(highestPriceFrom(this.terms, this.miner.state.signed?.workHashes ?? 0n));
    this.gate.set(exposureRoom(this.terms, this.miner.state), exposedWork(this.miner.state));
  }
}

const routed = (name: string, quota?: RoutedDestination['quota']): RoutedDestination => ({
  health: {
    ...{ name, isUp: true, jobAgeMs: 0, jobAgeLimitMs: 60_000 },
    ...{ rejectRatio: 0, verdicts: 100, rttMs: 5, shapeChanges: 0 },
  },
  quota,
});

type Plan = {
  readonly days: number;
  readonly maxUnpaidSat: bigint;
  /** No other contract holds the honest ones: they get their rate in each hour. */
  readonly isPaced: boolean;
};

/** @returns the contracts, what machines did for each, and the most that was unpaid */
function play({ days, maxUnpaidSat, isPaced }: Plan) {
  const total = new ExposureTotal(maxUnpaidSat);
  const contracts = PARTS.map((_part, at) => new Contract(at, total));
  const byName = new Map(contracts.map((each) => [each.name, each]));
  const places = new Map<number, string | undefined>();
  const given = new Map<string, bigint>();
  let [routing, division] = [NO_ROUTE, UNDIVIDED];
  let hourAt = new Map<string, bigint>();
  let mostSat = 0n;

  const divide = (nowMs: number): void => {
    const demand = {
      contracts: contracts
        .filter(({ wants }) => wants)
        .map(({ name, rate }) =>
          routed(name, { type: 'rate', hashesPerSecond: rate, maxHashesPerSecond: (rate * 5n) / 4n }),
        ),
      fallbacks: [routed('own')],
    };
    const options = { failover: FAILOVER_OPTIONS };
    const routes = route(options, routing, { type: 'demand', ...demand }, nowMs);
    if (planText(routes.state.plan) !== planText(routing.plan))
      division = split(SPLIT_OPTIONS, division, { type: 'destinations_changed' }, nowMs).state;
    routing = routes.state;
    const { plan } = routing;
    if (plan.type === 'one') {
      for (const id of MACHINES.keys()) places.set(id, plan.destination);
      return;
    }
    const sessions = MACHINES.map((hashesPerSecond, id) => {
      return { id, hashesPerSecond, destination: places.get(id) };
    });
    const event = { type: 'round', sessions, destinations: plan.destinations } as const;
    const { state, effects } = split(SPLIT_OPTIONS, division, event, nowMs);
    division = state;
    for (const { session, to } of effects) places.set(session, to);
  };

  for (let nowMs = 0; nowMs < days * DAY_MS; nowMs += ROUND_MS) {
    if (nowMs === RAISES_MS) for (const each of contracts) if (each.maker === 'raising') each.raise();
    divide(nowMs);
    // Within this one round nobody is left with a buyer that wants nothing.
    for (const name of places.values()) expect(byName.get(name!)?.wants ?? true).toBe(true);
    for (const [id, rate] of MACHINES.entries()) {
      const hashes = (rate * BigInt(ROUND_MS)) / 1000n;
      const at = places.get(id)!;
      given.set(at, (given.get(at) ?? 0n) + hashes);
      byName.get(at)?.work(hashes, nowMs);
      mostSat = mostSat > total.sat ? mostSat : total.sat;
    }
    for (const each of contracts) {
      const isSilent = each.maker === 'silent' && nowMs >= SILENT.fromMs && nowMs < SILENT.toMs;
      if (!isSilent) each.buys(nowMs);
      const [mine, theirs] = [each.miner.state.signed, each.buyer.state.signed];
      expect(mine).toEqual(theirs);
      expect(mine!.paidSat).toBe(paySatOf(each.terms, mine!.workHashes));
    }
    const elapsedMs = nowMs + ROUND_MS;
    if (elapsedMs % HOUR_MS !== 0) continue;
    for (const { name, rate, maker } of contracts) {
      const got = (given.get(name) ?? 0n) - (hourAt.get(name) ?? 0n);
      const [due, slice] = [rate * 3600n, (MACHINES[0]! * BigInt(SPLIT_OPTIONS.sliceMs)) / 1000n];
      const off = got > due ? got - due : due - got;
      const most = (slice * 5n) / 4n;
      const bound = due / 100n > most ? due / 100n : most;
      if (isPaced && maker === 'raising')
        expect(off, `${name} in hour ${elapsedMs / HOUR_MS}`).toBeLessThanOrEqual(bound);
    }
    hourAt = new Map(given);
  }

  return { contracts, given, mostSat };
}

it('hashrate goes where it is paid, no bound is passed, and both sides have the same books', () => {
  const maxUnpaidSat = 2_200n;
  const { contracts, given, mostSat } = play({ days: 7, maxUnpaidSat, isPaced: true });
  expect(mostSat).toBeLessThan(maxUnpaidSat);
  for (const { name, rate, maker, ownHashes, miner, terms, refusedHashes } of contracts) {
    const got = given.get(name)!;
    expect(exposedWork(miner.state), name).toBeLessThanOrEqual((4n * EH) / 10n + SHARE_HASHES);
    if (maker === 'lying') {
      // What it took for nothing is what may be unpaid; then it gets no more, however often it signs.
      expect(refusedHashes, name).toBeLessThanOrEqual((4n * EH) / 10n + SHARE_HASHES);
      expect(refusedHashes, name).toBeGreaterThan((3n * EH) / 10n);
      expect(isDelivering(miner.state), name).toBe(false);
      continue;
    }
    if (maker === 'raising') expect(newestPriceMsatPerEh(terms) % 6n, name).toBe(0n);
    const ms = { raising: 7 * DAY_MS, silent: 6 * DAY_MS }[maker];
    const [due, slice] = [
      (rate * BigInt(ms)) / 1000n,
      (MACHINES[0]! * BigInt(SPLIT_OPTIONS.sliceMs)) / 1000n,
    ];
    const off = got > due ? got - due : due - got;
    // What was delivered until too much was unpaid is at most what may be unpaid, with a slice.
    expect(off, name).toBeLessThanOrEqual(2n * slice + (4n * EH) / 10n);
    expect(got - ownHashes, name).toBeLessThanOrEqual(4n * slice);
  }
});

it('the bound over all holds every contract while one maker owes too much, and lets go once it pays', () => {
  const maxUnpaidSat = 800n;
  const until = (days: number) => play({ days, maxUnpaidSat, isPaced: false });
  const [before, after] = [until(2), until(3)];
  for (const { mostSat } of [before, after]) {
    expect(mostSat).toBeGreaterThanOrEqual(maxUnpaidSat);
    // The share that reaches the bound is the last.
    expect(mostSat).toBeLessThanOrEqual(maxUnpaidSat + 1n);
  }
  for (const [at, { ownHashes, rate }] of after.contracts.entries())
    expect(ownHashes - before.contracts[at]!.ownHashes).toBeGreaterThan((rate * 86_400n * 9n) / 10n);
});
