import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { MakerPolicy } from '../../src/maker/policy.ts';
import { PolicyBook, type PolicySettings } from '../../src/maker/policy-book.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { MortalLedger, World } from './world.ts';

const FILE: MakerPolicy = { ...new World().policy, isHalted: false };

/** As a configuration would have it; a total below one contract's is refused. */
function apply(settings: PolicySettings): MakerPolicy {
  const total = BigInt(settings['policy.max_total_budget'] ?? FILE.maxTotalBudgetSat);
  if (total < FILE.maxBudgetSat) throw new CodedError('config_invalid', 'policy.max_total_budget');
  return { ...FILE, maxTotalBudgetSat: total, isHalted: settings['policy.halt'] === 'true' };
}

const bookOn = (ledger: MortalLedger | MemoryLedger, how = apply): PolicyBook =>
  new PolicyBook(FILE, { ledger, log: silentLogger, apply: how });

describe('a policy that is set at run time', () => {
  it('is on disk before it holds, outlives a restart, and goes back to the file', async () => {
    const store = new MemoryLedger();
    const book = bookOn(store);
    await book.load();
    expect([book.settings, book.policy]).toEqual([{}, FILE]);
    await book.set({ 'policy.halt': 'true', 'policy.max_total_budget': '3000000' });
    expect(book.policy).toMatchObject({ isHalted: true, maxTotalBudgetSat: 3_000_000n });
    const again = bookOn(store);
    await again.load();
    expect([again.policy, again.settings]).toEqual([book.policy, book.settings]);
    await again.set({ 'policy.halt': undefined });
    expect(again.policy).toMatchObject({ isHalted: false, maxTotalBudgetSat: 3_000_000n });
    expect(again.settings).toEqual({ 'policy.max_total_budget': '3000000' });
  });

  it('stays as it was where the whole does not hold together, or cannot be written', async () => {
    const ledger = new MortalLedger(new MemoryLedger());
    const book = bookOn(ledger);
    const refusal = await book.set({ 'policy.max_total_budget': '1' }).catch(codeOf);
    expect([refusal, book.policy, ledger.appends]).toEqual(['config_invalid', FILE, 0]);
    ledger.deathAt = () => 'refused';
    expect(await book.set({ 'policy.halt': 'true' }).catch(codeOf)).toBe('overload');
    expect([book.policy, book.settings]).toEqual([FILE, {}]);
    expect(book.check({ 'policy.halt': 'true' }).policy.isHalted).toBe(true);
    expect(book.policy).toBe(FILE);
  });

  it('takes nothing new where the file no longer goes with it', async () => {
    const store = new MemoryLedger();
    await bookOn(store).set({ 'policy.max_total_budget': '3000000' });
    const changed = bookOn(store, () => {
      throw new CodedError('config_invalid', 'policy.max_budget');
    });
    await changed.load();
    expect(changed.policy).toEqual({ ...FILE, isHalted: true });
  });
});
