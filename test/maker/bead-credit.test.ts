import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BEAD_PARTS, mostBeadParts } from '../../src/contract/bead-odds.ts';
import {
  BEAD_DOUBT,
  type BeadCreditEvent,
  type BeadCreditOptions,
  type BeadCreditState,
  NO_BEADS,
  stopOf,
  transition,
  withCredited,
} from '../../src/maker/bead-credit.ts';
import { SeededRandom } from '../sim/random.ts';
import '../seed.ts';

const OPTIONS: BeadCreditOptions = { ...BEAD_DOUBT, stopPpb: 1000 };
const SHARES_PER_BEAD = 16;
/** Work of one share. */
const PARTS = BEAD_PARTS / BigInt(SHARES_PER_BEAD);

class Machine {
  state: BeadCreditState = NO_BEADS;
  readonly options: BeadCreditOptions;
  nowMs = 0;
  #beads = 0;

  constructor(options: Partial<BeadCreditOptions> = {}) {
    this.options = { ...OPTIONS, ...options };
  }

  on(event: BeadCreditEvent): readonly string[] {
    const { state, effects } = transition(this.options, this.state, event, this.nowMs);
    this.state = state;
    return effects.map((effect) => (effect.type === 'refuse' ? effect.code : effect.type));
  }

  /** A share; with a hash it is a bead. True when it is credited. */
  share(beadHash?: string): boolean {
    return this.on({ type: 'share', parts: PARTS, beadHash }).includes('credit');
  }

  bead(): string {
    this.#beads += 1;
    return `bead ${this.#beads}`;
  }

  /** Shares that are no beads, until one is refused. */
  untilStopped(): number {
    for (let count = 0; ; count += 1) {
      expect(count).toBeLessThan(100_000);
      if (!this.share()) return count;
    }
  }
}

const confirmed = (hash: string): BeadCreditEvent => ({
  type: 'outcome',
  hash,
  outcome: 'confirmed',
  paid: 'us',
});

/**
 * One life of a contract: beads come by chance, and a thief has a part of them pay itself and does not report
 * their shares. Resolves to the stolen beads when credit stopped; undefined when it never did.
 */
function live(random: SeededRandom, part: number, beads: number, stopPpb = 1000): number | undefined {
  const machine = new Machine({ stopPpb });
  let stolen = 0;
  for (let share = 0; share < beads * SHARES_PER_BEAD; share += 1) {
    const isBead = random.below(SHARES_PER_BEAD) === 0;
    if (isBead && random.below(1000) < part * 1000) {
      stolen += 1;
      continue;
    }
    const hash = isBead ? machine.bead() : undefined;
    if (!machine.share(hash)) return stolen;
    if (hash !== undefined) machine.on(confirmed(hash));
  }
  return undefined;
}

describe('the rule of beads, at 10^-6', () => {
  it('never stops an honest miner in 400 lives', () => {
    const random = new SeededRandom(7);
    const lives = Array.from({ length: 400 }, () => live(random, 0, 600));
    expect(lives.filter((stolen) => stolen !== undefined)).toEqual([]);
  });

  it('is crossed by honest work less than once in 20,000 contracts of 2,000 beads, exactly reckoned', () => {
    expect(falseStops(2000, 1000)).toBeLessThan(1 / 20_000);
    expect(falseStops(2000, 1000)).toBeGreaterThan(1e-6);
  });

  it.each([
    [0.1, 246],
    [0.3, 82],
    [0.5, 46],
    [1, 15],
  ])('stops a thief of %d of the beads after about %d stolen ones', (part, stolen) => {
    const random = new SeededRandom(7);
    const lives = Array.from({ length: 60 }, () => live(random, part, 20_000));
    expect(lives).not.toContain(undefined);
    const mean = lives.reduce<number>((sum, count) => sum + count!, 0) / lives.length;
    expect(mean / stolen).toBeGreaterThan(0.85);
    expect(mean / stolen).toBeLessThan(1.15);
    // No life is far off: what a contract may lose is known.
    expect(Math.max(...lives.map((count) => count!))).toBeLessThan(stolen * 3);
  });
});

/**
 * The chance that honest work is ever stopped within so many beads: at the moment when the worth of the work
 * passes the bound of `k` beads there must be more than `k`.
 */
function falseStops(beads: number, stopPpb: number): number {
  const width = 2000;
  let alive = new Float64Array(width).fill(1, 0, 1);
  let first = 0;
  let worth = 0;
  let stopped = 0;
  for (let count = 0; count < beads; count += 1) {
    const next = Number(mostBeadParts(count, stopPpb)) / 1e18;
    const gap = next - worth;
    worth = next;
    const step: number[] = [];
    for (let k = 1, p = Math.exp(-gap); k < gap || p > 1e-15; p *= gap / k, k += 1) step.push(p);
    const after = new Float64Array(width);
    for (let have = 0; have < width; have += 1) {
      const chance = alive[have]!;
      if (chance < 1e-16) continue;
      for (let more = 0; more < step.length && have + more < width; more += 1)
        after[have + more]! += chance * step[more]!;
    }
    // As many beads as `count`, or fewer: it is stopped here.
    stopped += after[count - first] ?? 0;
    alive = after;
    alive[count - first] = 0;
    alive.copyWithin(0, 1);
    first += 1;
  }
  return stopped;
}

describe('credit by beads', () => {
  it('stops where no bead pays us, at 13.8 of their worth', () => {
    expect(new Machine().untilStopped()).toBe(Math.ceil(-Math.log(1e-6) * SHARES_PER_BEAD));
  });

  it('takes work that is worth exactly the most, and no part more, by the beads that pay and the doubt', () => {
    const options = { ...OPTIONS, doubtBeads: 2 };
    const stopAt = (worthParts: bigint, changes: Partial<BeadCreditState>, nowMs = 0): unknown =>
      stopOf(options, { ...NO_BEADS, worthParts, ...changes }, nowMs);
    const open = (...times: readonly number[]) => ({
      open: new Map(times.map((ms, at) => [`bead ${at}`, ms])),
    });
    for (const [counted, changes] of [
      [0, {}],
      [3, { paidBeads: 3 }],
      [4, { paidBeads: 3, ...open(0) }],
      // No more than so many are in doubt at once.
      [5, { paidBeads: 3, ...open(0, 0, 0) }],
      // Those that are too old are not.
      [4, { paidBeads: 3, ...open(-OPTIONS.doubtMs, 1 - OPTIONS.doubtMs) }],
    ] as const) {
      const most = mostBeadParts(counted, OPTIONS.stopPpb);
      expect([stopAt(most, changes), stopAt(most + 1n, changes)]).toEqual([undefined, 'share_beads']);
    }
    const stolen = { stolen: { hash: 'bead', paid: 'thief' } };
    expect(stopAt(0n, stolen)).toBe('share_unbound');
    // Without doubt an open bead is worth nothing.
    const most = mostBeadParts(1, OPTIONS.stopPpb);
    const sure = { ...options, doubtBeads: 0 };
    expect(stopOf(sure, { ...NO_BEADS, worthParts: most, paidBeads: 1, ...open(0) }, 0)).toBe(undefined);
    expect(stopOf(sure, { ...NO_BEADS, worthParts: most + 1n, paidBeads: 1, ...open(0) }, 0)).toBe(
      'share_beads',
    );
  });

  it('does exactly what is to be done with a share and with each outcome', () => {
    const said = (state: BeadCreditState, event: BeadCreditEvent) => transition(OPTIONS, state, event, 5);
    const share = (beadHash: string | undefined): BeadCreditEvent => ({
      type: 'share',
      parts: 7n,
      beadHash,
    });
    const plain = said(NO_BEADS, share(undefined));
    expect(plain).toEqual({ state: { ...NO_BEADS, worthParts: 7n }, effects: [{ type: 'credit' }] });
    expect(withCredited(NO_BEADS, 7n, undefined, 5)).toEqual(plain.state);
    const { state, effects } = said(plain.state, share('a'));
    expect(effects).toEqual([{ type: 'credit' }, { type: 'watch', hash: 'a' }]);
    expect(state).toEqual({ ...NO_BEADS, worthParts: 14n, open: new Map([['a', 5]]) });
    const outcome = (result: 'confirmed' | 'missing' | 'unknown' | 'wrong_payout', paid?: string) =>
      said(state, { type: 'outcome', hash: 'a', outcome: result, paid });
    const closed = { ...state, open: new Map() };
    expect(outcome('confirmed')).toEqual({ state: { ...closed, paidBeads: 1 }, effects: [] });
    for (const none of ['missing', 'unknown'] as const)
      expect(outcome(none)).toEqual({ state: { ...closed, missingBeads: 1 }, effects: [] });
    const stolen = { hash: 'a', paid: 'thief' };
    const accused = outcome('wrong_payout', 'thief');
    expect(accused).toEqual({ state: { ...closed, stolen }, effects: [{ type: 'accuse', stolen }] });
    expect(outcome('wrong_payout').state.stolen).toEqual({ hash: 'a', paid: '' });
    // The first thief is the one that is told; what nobody asked about says nothing.
    const again = withCredited(accused.state, 0n, 'b', 6);
    expect(said(again, { type: 'outcome', hash: 'b', outcome: 'wrong_payout', paid: 'other' })).toEqual({
      state: { ...again, open: new Map() },
      effects: [],
    });
    const unasked = said(state, { type: 'outcome', hash: 'c', outcome: 'confirmed', paid: 'us' });
    expect(unasked).toEqual({ state, effects: [] });
    expect(unasked.state).toBe(state);
    // A share that is refused changes nothing.
    const stopped = said(accused.state, share('d'));
    expect(stopped.effects).toEqual([{ type: 'refuse', code: 'share_unbound' }]);
    expect(stopped.state).toBe(accused.state);
  });

  it('goes on where enough beads pay us after all', () => {
    const machine = new Machine({ doubtBeads: 0 });
    const hash = machine.bead();
    expect(machine.share(hash)).toBe(true);
    machine.untilStopped();
    expect(machine.share()).toBe(false);
    machine.on(confirmed(hash));
    expect(machine.share()).toBe(true);
  });

  it('ends for good with a bead of a reported share that pays another', () => {
    const machine = new Machine();
    const [hash, other] = [machine.bead(), machine.bead()];
    machine.share(hash);
    machine.share(other);
    expect(machine.on({ type: 'outcome', hash, outcome: 'wrong_payout', paid: 'thief' })).toEqual([
      'accuse',
    ]);
    expect(machine.on({ type: 'share', parts: PARTS, beadHash: undefined })).toEqual(['share_unbound']);
    machine.on(confirmed(other));
    expect(machine.share()).toBe(false);
    expect(machine.state.stolen).toEqual({ hash, paid: 'thief' });
  });

  it('only counts a bead that is missing, or that nobody could be asked for', () => {
    for (const outcome of ['missing', 'unknown'] as const) {
      const machine = new Machine();
      const hash = machine.bead();
      machine.share(hash);
      machine.on({ type: 'outcome', hash, outcome, paid: undefined });
      expect(machine.share()).toBe(true);
      expect(machine.state).toMatchObject({ paidBeads: 0, missingBeads: 1, stolen: undefined });
    }
  });

  it('takes beads that nobody was told of yet for ours, so many and so long', () => {
    const machine = new Machine();
    for (let bead = 0; bead < 40; bead += 1) expect(machine.share(machine.bead())).toBe(true);
    const most = Number(mostBeadParts(BEAD_DOUBT.doubtBeads, 1000) / PARTS);
    expect(machine.untilStopped()).toBe(most + 1 - 40);
    expect(machine.state.open.size).toBe(40);
    const late = new Machine();
    late.share(late.bead());
    // More than no bead allows, and less than one.
    for (let share = 0; share < 15 * SHARES_PER_BEAD; share += 1) expect(late.share()).toBe(true);
    late.nowMs += BEAD_DOUBT.doubtMs - 1;
    expect(late.share()).toBe(true);
    late.nowMs += 1;
    expect(late.share()).toBe(false);
  });

  it('knows each outcome once, and none of a share that was not credited', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ bead: fc.nat(5), isOutcome: fc.boolean() }), { maxLength: 60 }),
        (events) => {
          const machine = new Machine();
          const paid = new Set<string>();
          for (const { bead, isOutcome } of events) {
            const hash = `bead ${bead}`;
            if (isOutcome && machine.state.open.has(hash)) paid.add(hash);
            if (isOutcome) machine.on(confirmed(hash));
            else if (!paid.has(hash)) machine.share(hash);
          }
          expect(machine.state.paidBeads).toBe(paid.size);
        },
      ),
    );
  });
});
