import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../seed.ts';
import { smaller } from '../../src/base/bigints.ts';
import { CodedError } from '../../src/base/errors.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import type { AgreedUpdate, Update } from '../../src/contract/update.ts';
import {
  transition,
  type UpdateEvent,
  type UpdatesState,
  updateId,
} from '../../src/contract/update-course.ts';
import {
  checkUpdate,
  headOf,
  paySatOf,
  segmentsOf,
  updatesOf,
  withUpdates,
} from '../../src/contract/updated-terms.ts';
import { EH } from '../channel/fixtures.ts';
import { makeTermsV3 } from './terms-v3-fixtures.ts';

const TERMS = makeTermsV3({ budgetSat: 10_000_000n });
const CONTRACT_ID = contractIdOf(TERMS);
const DELIVERY: NonNullable<typeof TERMS.delivery> = {
  ...{ windowMinutes: 360, tolerancePpm: 20_000, curtailmentBlocks: 72, cureBlocks: 24 },
  falseDefaultAlphaPpm: 1000,
};
type Name = 'miner' | 'maker';
const other = (name: Name): Name => (name === 'miner' ? 'maker' : 'miner');

/** Two sides whose lines are delivered in order, or lost with all behind them until both meet again. */
class Pair {
  readonly state: Record<Name, UpdatesState> = {
    miner: { terms: TERMS, revoked: [] },
    maker: { terms: TERMS, revoked: [] },
  };
  readonly lines: { readonly to: Name; readonly event: UpdateEvent }[] = [];
  /** Updates that a side was promised never to see again. */
  readonly dead: Record<Name, Set<string>> = { miner: new Set(), maker: new Set() };
  work = 0n;
  #nonce = 0;

  take(name: Name, event: UpdateEvent): boolean {
    try {
      const options = { contractId: CONTRACT_ID, role: name };
      this.state[name] = transition(options, this.state[name], event, this.work).state;
      return true;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return false;
    }
  }

  propose(name: Name, ahead: bigint, priceMsatPerEh: bigint): void {
    const { terms } = this.state[name];
    const update: Update = {
      ...{ contractIdHex: CONTRACT_ID, previousHex: headOf(CONTRACT_ID, terms) },
      ...{ number: updatesOf(terms).length + 1, fromHashes: this.work + ahead, priceMsatPerEh },
      nonceHex: (this.#nonce++).toString(16).padStart(32, '0'),
    };
    if (!this.take(name, { type: 'proposed', by: 'own', update, signature: `${name}` })) return;
    this.lines.push({
      to: other(name),
      event: { type: 'proposed', by: 'peer', update, signature: `${name}` },
    });
  }

  confirm(name: Name): void {
    const { pending } = this.state[name];
    if (pending === undefined) return;
    const { update } = pending;
    if (!this.take(name, { type: 'confirmed', by: 'own', update, signature: name })) return;
    this.lines.push({ to: other(name), event: { type: 'confirmed', by: 'peer', update, signature: name } });
  }

  /** A question with its answer, as one: what was sent before is heard first. */
  revoke(name: Name): void {
    const hashHex = this.pendingId(name);
    if (hashHex === undefined) return;
    this.deliver();
    if (!this.take(other(name), { type: 'revoked', by: 'peer', hashHex, signature: name })) return;
    if (this.take(name, { type: 'revoked', by: 'own', hashHex, signature: name }))
      for (const side of ['miner', 'maker'] as const) this.dead[side].add(hashHex);
  }

  pendingId(name: Name): string | undefined {
    const { pending } = this.state[name];
    return pending && updateId(pending.update);
  }

  deliver(): void {
    for (const { to, event } of this.lines.splice(0)) this.take(to, event);
  }

  /** The lines are lost; each shows the other what both signed, and tells again of what waits. */
  meet(): void {
    this.lines.splice(0);
    for (const name of ['miner', 'maker'] as const)
      this.take(other(name), { type: 'shown', updates: updatesOf(this.state[name].terms) });
    for (const name of ['miner', 'maker'] as const) {
      const { pending } = this.state[name];
      if (pending?.by === 'own') this.take(other(name), { type: 'proposed', ...pending, by: 'peer' });
    }
  }
}

const anyOp = fc.record({
  what: fc.constantFrom('propose', 'propose', 'confirm', 'confirm', 'revoke', 'deliver', 'lose', 'work'),
  who: fc.constantFrom<Name>('miner', 'maker'),
  ahead: fc.bigInt(0n, 5n * EH),
  price: fc.bigInt(1n, 5_000_000n),
});

describe('updates between two sides', () => {
  it('hold one for each number, the same ones, never one taken back, and no work of before is repriced (I21, I22, I23, I24)', () => {
    fc.assert(
      fc.property(fc.array(anyOp, { maxLength: 40 }), (ops) => {
        const pair = new Pair();
        for (const { what, who, ahead, price } of ops) {
          const before = pair.state;
          const owed = { miner: paySatOf(before.miner.terms, pair.work) };
          if (what === 'propose') pair.propose(who, ahead, price);
          else if (what === 'confirm') pair.confirm(who);
          else if (what === 'revoke') pair.revoke(who);
          else if (what === 'deliver') pair.deliver();
          else if (what === 'lose') pair.meet();
          else {
            // Nothing is sold while a line is on its way that it would go by.
            pair.deliver();
            pair.work = smaller(pair.work + ahead, TERMS.workTotalHashes);
            owed.miner = paySatOf(pair.state.miner.terms, pair.work);
          }
          expect(paySatOf(pair.state.miner.terms, pair.work)).toBe(owed.miner);
          const [mine, theirs] = [updatesOf(pair.state.miner.terms), updatesOf(pair.state.maker.terms)];
          const both = Math.min(mine.length, theirs.length);
          expect(mine.slice(0, both)).toEqual(theirs.slice(0, both));
          expect(Math.abs(mine.length - theirs.length)).toBeLessThanOrEqual(1);
          for (const { update, minerSignature, makerSignature } of [...mine, ...theirs]) {
            expect([minerSignature, makerSignature]).toEqual(['miner', 'maker']);
            for (const dead of Object.values(pair.dead)) expect(dead.has(updateId(update))).toBe(false);
          }
          for (const [index, { update }] of mine.entries()) expect(update.number).toBe(index + 1);
        }
        pair.deliver();
        pair.meet();
        expect(updatesOf(pair.state.miner.terms)).toEqual(updatesOf(pair.state.maker.terms));
      }),
      { numRuns: 400 },
    );
  });

  it('change neither step nor stop where delivery is promised, by which the fault of a minute is told', () => {
    const { delivery: _delivery, ...apart } = TERMS;
    const bare = { ...apart, stepHashes: EH };
    const rate = { committed: 10n ** 15n, min: 9n * 10n ** 14n, max: 11n * 10n ** 14n };
    const promised: typeof TERMS = { ...bare, rate, delivery: DELIVERY };
    const update = (change: Partial<Update>): Update => ({
      ...{ contractIdHex: CONTRACT_ID, previousHex: CONTRACT_ID, number: 1, fromHashes: 0n },
      ...{ nonceHex: '00'.repeat(16), ...change },
    });
    const stopHeight = TERMS.expiryHeight - 1;
    for (const change of [{ stepHashes: 2n * EH }, { stopHeight }]) {
      expect(() => checkUpdate(CONTRACT_ID, bare, update(change))).not.toThrow();
      expect(() => checkUpdate(CONTRACT_ID, promised, update(change))).toThrow(
        'where delivery is promised',
      );
    }
    expect(() => checkUpdate(CONTRACT_ID, promised, update({ priceMsatPerEh: 1_000n }))).not.toThrow();
  });

  it('cannot be taken back once they hold', () => {
    const pair = new Pair();
    pair.propose('miner', EH, 1_000n);
    pair.deliver();
    const hashHex = pair.pendingId('maker')!;
    pair.confirm('maker');
    for (const name of ['maker', 'miner'] as const) {
      pair.deliver();
      expect(pair.take(name, { type: 'revoked', by: 'peer', hashHex, signature: '' })).toBe(false);
    }
    expect(updatesOf(pair.state.miner.terms).length).toBe(1);
  });
});

describe('pay by several prices', () => {
  const anyUpdates = fc.array(
    fc.record({ step: fc.bigInt(0n, 200n * EH), price: fc.bigInt(1n, 5_000_000n) }),
    {
      maxLength: 5,
    },
  );
  const termsOf = (steps: readonly { readonly step: bigint; readonly price: bigint }[]) => {
    let fromHashes = 0n;
    const updates = steps.map(({ step, price }, index): AgreedUpdate => {
      fromHashes += step;
      const update = {
        contractIdHex: CONTRACT_ID,
        previousHex: CONTRACT_ID,
        number: index + 1,
        fromHashes,
      };
      const content = { ...update, priceMsatPerEh: price, nonceHex: '00'.repeat(16) };
      return { update: content, minerSignature: '', makerSignature: '' };
    });
    return withUpdates(TERMS, updates);
  };

  it('is what each part of the work is worth, floored once, and never falls (I7)', () => {
    fc.assert(
      fc.property(anyUpdates, fc.bigInt(0n, 1000n * EH), fc.bigInt(0n, 10n * EH), (steps, work, more) => {
        const terms = termsOf(steps);
        // Hash by hash it would take for ever: from the end back, at the newest price of each part.
        let [left, msatHashes] = [work, 0n];
        for (const { fromHashes, msatPerEh } of segmentsOf(terms).toReversed()) {
          if (left <= fromHashes) continue;
          msatHashes += (left - fromHashes) * msatPerEh;
          left = fromHashes;
        }
        const paid = paySatOf(terms, work);
        expect(paid).toBe(msatHashes / (1000n * EH));
        expect(paySatOf(terms, work + more)).toBeGreaterThanOrEqual(paid);
      }),
    );
  });
});
