import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { MakerPolicy } from '../../src/maker/policy.ts';
import { PolicyBook, type PolicySettings } from '../../src/maker/policy-book.ts';
import { recorder } from '../chain/log-recorder.ts';
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

  it('holds what the file says where nothing can be set, and where nothing is', async () => {
    const { apply: _none, ...deps } = { ledger: new MemoryLedger(), log: silentLogger, apply };
    const fixed = new PolicyBook(FILE, deps);
    await fixed.load();
    const set = await fixed.set({ 'policy.halt': 'true' }).catch(codeOf);
    expect([set, fixed.policy, fixed.settings]).toEqual(['config_invalid', FILE, {}]);
    // All was taken back: what the file says holds, whatever that is by now.
    const store = new MemoryLedger();
    const book = bookOn(store);
    await book.set({ 'policy.halt': 'true' });
    expect(await book.set({ 'policy.halt': undefined })).toEqual({});
    const later = new PolicyBook(FILE, { ledger: store, log: silentLogger });
    await later.load();
    expect(later.policy).toBe(FILE);
  });

  it('keeps what was set before, and takes one change after the other', async () => {
    const store = new MemoryLedger();
    const book = bookOn(store);
    const both = await Promise.all([
      book.set({ 'policy.max_total_budget': '3000000' }),
      book.set({ 'policy.halt': 'true' }),
    ]);
    const all = { 'policy.max_total_budget': '3000000', 'policy.halt': 'true' };
    expect(both).toEqual([{ 'policy.max_total_budget': '3000000' }, all]);
    expect(book.check({ 'policy.halt': 'false' }).settings).toEqual({ ...all, 'policy.halt': 'false' });
    expect(book.settings).toEqual(all);
    const again = bookOn(store);
    await again.load();
    expect(again.settings).toEqual(all);
  });

  it('that cannot be read is no policy, and a fault of ours is none of the file', async () => {
    const written = async (body: string): Promise<MemoryLedger> => {
      const store = new MemoryLedger();
      await store.append([{ type: 'put', kind: 'policy', id: 'maker', body }]);
      return store;
    };
    for (const body of ['{}', '[]', '{"settings":[]}', '{"settings":"x"}', '{"version":1,"settings":null}'])
      expect(
        await bookOn(await written(body))
          .load()
          .catch(codeOf),
      ).toBe('ledger_corrupt');
    const store = await written('{"version":1,"settings":{"policy.halt":true,"policy.max_depth":3}}');
    const book = bookOn(store);
    await book.load();
    expect(book.settings).toEqual({ 'policy.halt': 'true', 'policy.max_depth': '3' });
    const broken = bookOn(store, () => {
      throw new TypeError('of ours');
    });
    await expect(broken.load()).rejects.toThrow(TypeError);
  });

  it('says that it no longer applies, and keeps what was set for whoever looks', async () => {
    const { log, lines } = recorder();
    const store = new MemoryLedger();
    await bookOn(store).set({ 'policy.max_total_budget': '3000000' });
    const book = new PolicyBook(FILE, {
      ...{ ledger: store, log },
      apply: () => {
        throw new CodedError('config_invalid', 'policy.max_budget');
      },
    });
    await book.load();
    expect(lines).toEqual([
      [
        'error',
        { code: 'config_invalid', detail: 'config_invalid: policy.max_budget' },
        'the policy set at run time no longer applies',
      ],
    ]);
    expect(book.settings).toEqual({ 'policy.max_total_budget': '3000000' });
  });
});
