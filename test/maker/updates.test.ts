import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { FileMonotoneSigner } from '../../src/channel/monotone-file.ts';
import { channelIdOf } from '../../src/channel/params.ts';
import { foldEvents } from '../../src/contract/event-chain.ts';
import { paySatOf, updatesOf } from '../../src/contract/updated-terms.ts';
import { updateActions } from '../../src/daemon/update-actions.ts';
import type { OpenStateSigner } from '../../src/maker/maker-store.ts';
import { judgeSale } from '../../src/miner/sale-limits.ts';
import { contractEvents, streamJson } from '../../src/operator/contract-events.ts';
import { readStream } from '../../src/operator/contract-stream.ts';
import type { ContractUpdates } from '../../src/settlement/contract-updates.ts';
import { loadContract } from '../../src/settlement/records.ts';
import type { MemoryLedger } from '../ledger/memory-ledger.ts';
import { backup, restore } from './backup.ts';
import { SHARE, until, World, type WorldOptions } from './world.ts';

const directory = mkdtempSync(join(tmpdir(), 'updates-'));
afterAll(() => rmSync(directory, { recursive: true }));

const PRICE = 10_000n * 10n ** 18n;
const STEP = 4n * SHARE.workHashes;

const worldOf = (options: WorldOptions = {}): World => new World({ isVersion3: true, ...options });

const atMaker = (world: World) => world.maker.updatesOf(world.contractId);
const atMiner = (world: World) => world.miner.updates;

async function reached(world: World, n: number): Promise<void> {
  await until(`state ${n}`, () => {
    return world.miner.status.signed?.n === n && world.maker.status[0]?.ackedN === n;
  });
}

/** Both know as many updates, and the same ones. */
async function agreed(world: World, count: number): Promise<void> {
  const of = (side: 'miner' | 'maker') => {
    const { terms } = (side === 'miner' ? atMiner(world) : atMaker(world)).state;
    return updatesOf(terms);
  };
  await until(`${count} updates`, () => of('miner').length === count && of('maker').length === count);
  expect(of('miner')).toEqual(of('maker'));
}

const refusal = (task: Promise<unknown>): Promise<string> => task.then(() => 'none', codeOf);

/** Work at the price of before, and behind it at half and at twice the price. */
async function tenShares(world: World, from: bigint, msatPerEh: bigint, n: number): Promise<void> {
  await world.work(4);
  await reached(world, n);
  const workHashes = 12n * SHARE.workHashes;
  const { signed } = world.miner.status;
  expect(signed?.workHashes).toBe(workHashes);
  const due = (from * PRICE + (workHashes - from) * msatPerEh) / 10n ** 18n / 1000n;
  expect(signed?.paidSat).toBe(due);
  expect(world.maker.status[0]).toMatchObject({ n, verifiedWorkHashes: workHashes });
}

describe('the terms of a running contract', () => {
  it('change by two signatures alone, and no work of before is worth another price (I21, I23)', async () => {
    for (const proposer of ['miner', 'maker'] as const) {
      const world = worldOf();
      await world.open();
      await world.work(4);
      await reached(world, 1);
      const [one, other] = proposer === 'miner' ? [atMiner, atMaker] : [atMaker, atMiner];
      const before = world.miner.status.signed;
      const fromHashes = 6n * SHARE.workHashes;
      await one(world).propose({ priceMsatPerEh: PRICE / 2n, fromHashes });
      await until('it waits', () => other(world).state.pending !== undefined);
      expect(updatesOf(one(world).state.terms)).toEqual([]);
      // One signature changes nothing.
      await world.work(4);
      await reached(world, 2);
      expect(world.miner.status.signed?.paidSat).toBe((2n * STEP * PRICE) / 10n ** 21n);
      expect(before?.paidSat).toBe((STEP * PRICE) / 10n ** 21n);
      await world.stop();
    }
  });

  it('hold from the stated work on, whoever proposed and confirmed', async () => {
    for (const proposer of ['miner', 'maker'] as const) {
      const world = worldOf();
      await world.open();
      await world.work(4);
      await reached(world, 1);
      const [one, other] = proposer === 'miner' ? [atMiner, atMaker] : [atMaker, atMiner];
      const fromHashes = 6n * SHARE.workHashes;
      await one(world).propose({ priceMsatPerEh: PRICE / 2n, fromHashes });
      await other(world).confirm();
      await agreed(world, 1);
      await world.work(4);
      await reached(world, 2);
      await tenShares(world, fromHashes, PRICE / 2n, 3);
      await world.restartMaker();
      await world.restartMiner();
      await until('live', () => world.miner.status.live && world.miner.status.connected);
      await world.work(4);
      await reached(world, 4);
      await world.miner.closeNow();
      await world.stop();
    }
  });

  it('that were taken back never hold, and a revocation after the second signature is refused (I22)', async () => {
    const world = worldOf();
    await world.open();
    await atMiner(world).propose({ priceMsatPerEh: PRICE / 2n });
    const { pending } = atMaker(world).state;
    expect(pending?.by).toBe('peer');
    await atMiner(world).revoke();
    expect(atMaker(world).state.pending).toBeUndefined();
    expect(await refusal(atMaker(world).confirm())).toBe('update_unknown');
    // Both have the other's signature of that.
    for (const side of [atMiner(world), atMaker(world)])
      expect(side.state.revoked).toMatchObject([{ own: /./, peer: /./ }]);
    await atMaker(world).propose({ priceMsatPerEh: PRICE / 2n });
    await atMiner(world).confirm();
    await agreed(world, 1);
    for (const side of [atMiner(world), atMaker(world)])
      expect(await refusal(side.revoke())).toBe('update_unknown');
    await world.stop();
  });

  it('wait for the second signature over the starts of both, and can be refused by it', async () => {
    const world = worldOf();
    await world.open();
    await world.work(4);
    await reached(world, 1);
    await atMaker(world).propose({ priceMsatPerEh: PRICE / 4n, fromHashes: 8n * SHARE.workHashes });
    await world.restartMaker();
    await world.restartMiner();
    await until('connected', () => world.miner.status.connected);
    await until('both know it', () => atMiner(world).state.pending?.by === 'peer');
    await until('and by whom', () => atMaker(world).state.pending?.by === 'own');
    await atMiner(world).confirm();
    await agreed(world, 1);
    await atMaker(world).propose({ priceMsatPerEh: PRICE / 8n });
    await atMiner(world).revoke();
    await until('taken back', () => atMaker(world).state.pending === undefined);
    await world.work(8);
    await reached(world, 2);
    expect(world.miner.status.signed?.paidSat).toBe(
      (8n * SHARE.workHashes * PRICE + 4n * SHARE.workHashes * (PRICE / 4n)) / 10n ** 21n,
    );
    await world.stop();
  });

  it('of two that are proposed at once hold once at the most (I24)', async () => {
    const world = worldOf();
    await world.open();
    const results = await Promise.all([
      refusal(atMiner(world).propose({ priceMsatPerEh: PRICE / 2n })),
      refusal(atMaker(world).propose({ priceMsatPerEh: PRICE / 4n })),
    ]);
    expect(results.filter((code) => code === 'none').length).toBeLessThanOrEqual(1);
    await Promise.all([refusal(atMiner(world).confirm()), refusal(atMaker(world).confirm())]);
    const count = updatesOf(atMiner(world).state.terms).length;
    expect(count).toBeLessThanOrEqual(1);
    await agreed(world, count);
    await world.stop();
  });

  it('hold though the side that signed second died before it could say so', async () => {
    for (const [proposer, when] of [
      ['miner', 'after'],
      ['maker', 'after'],
      ['miner', 'before'],
      ['maker', 'before'],
    ] as const) {
      const world = worldOf();
      await world.open();
      const [one, other] = proposer === 'miner' ? [atMiner, atMaker] : [atMaker, atMiner];
      await one(world).propose({ priceMsatPerEh: PRICE / 2n, fromHashes: 0n });
      const ledger = proposer === 'miner' ? world.makerLedger : world.minerLedger;
      ledger.deathAt = (entries) => (entries.some(({ kind }) => kind === 'contract') ? when : undefined);
      void other(world).confirm();
      await until('dead', () => ledger.isDead);
      await (proposer === 'miner' ? world.restartMaker() : world.restartMiner());
      await until('connected', () => world.miner.status.connected);
      if (when === 'before') {
        await until('it waits still', () => other(world).state.pending?.by === 'peer');
        await other(world).confirm();
      }
      await agreed(world, 1);
      await world.work(4);
      await reached(world, 1);
      expect(world.miner.status.signed?.paidSat).toBe((STEP * (PRICE / 2n)) / 10n ** 21n);
      await world.stop();
    }
  });

  it('are known to a maker with an older ledger: the miner shows them, or its signer remembers', async () => {
    for (const signs of ['ledger', 'file'] as const) {
      const files = join(directory, `signer-${signs}`);
      mkdirSync(files);
      const openStateSigner: OpenStateSigner = (options, deps) =>
        new FileMonotoneSigner({ ...options, path: join(files, channelIdOf(options.params)) }, deps);
      const world = worldOf(signs === 'file' ? { openStateSigner } : {});
      await world.open();
      const old = await backup(world.makerStore, world.contractId);
      await atMaker(world).propose({ priceMsatPerEh: PRICE / 2n, fromHashes: 0n });
      await atMiner(world).confirm();
      await agreed(world, 1);
      await world.work(4);
      await reached(world, 1);
      await world.stop();
      world.makerLedger = await restore(old);
      await world.startMaker();
      await world.restartMiner();
      await until('connected', () => world.miner.status.connected);
      await agreed(world, 1);
      expect(world.maker.status[0]).toMatchObject({ n: 1, frozen: undefined });
      await world.stop();
    }
  });

  it('are refused where they are unsafe, late, or of a contract that ends', async () => {
    const world = worldOf();
    await world.open();
    const ask = (change: Parameters<World['miner']['updates']['propose']>[0]) =>
      refusal(atMiner(world).propose(change));
    expect(await ask({})).toBe('bad_terms');
    // 10 sat a hash and 1,000,000 sat for 100,000 hashes: any more is beyond the budget.
    expect(await ask({ priceMsatPerEh: PRICE + 10n ** 18n, fromHashes: 0n })).toBe('bad_terms');
    expect(await ask({ priceMsatPerEh: 0n })).toBe('bad_terms');
    expect(await ask({ stepHashes: 0n })).toBe('bad_terms');
    expect(await ask({ stopHeight: world.terms.expiryHeight })).toBe('bad_terms');
    expect(await ask({ stopHeight: world.chain.height + 1 })).toBe('update_late');
    expect(await ask({ stepHashes: 1n, fromHashes: world.terms.workTotalHashes })).toBe('bad_terms');
    await world.work(4);
    await reached(world, 1);
    expect(await ask({ priceMsatPerEh: PRICE / 2n, fromHashes: STEP - 1n })).toBe('update_late');
    await atMiner(world).propose({ priceMsatPerEh: PRICE / 2n, fromHashes: STEP });
    await world.work(1);
    await until('credited', () => world.maker.status[0]!.verifiedWorkHashes > STEP);
    expect(await refusal(atMaker(world).confirm())).toBe('update_late');
    await atMiner(world).revoke();
    await world.miner.closeNow();
    expect(await ask({ priceMsatPerEh: PRICE / 2n })).toBe('wrong_status');
    await world.stop();
    expect(paySatOf(world.proposed, STEP)).toBe((STEP * PRICE) / 10n ** 21n);
  });

  it('move the last block, and the work of a state', async () => {
    const world = worldOf();
    await world.open();
    const stopHeight = world.chain.height + 6;
    await atMiner(world).propose({ stopHeight, stepHashes: 2n * SHARE.workHashes });
    await atMaker(world).confirm();
    await agreed(world, 1);
    await world.work(2);
    await reached(world, 1);
    expect(world.miner.status.signed?.workHashes).toBe(2n * SHARE.workHashes);
    // Two steps from here, of the step of now, are before the update that holds: the next begins with that.
    expect(atMiner(world).check({ priceMsatPerEh: PRICE / 2n }).fromHashes).toBe(2n * STEP);
    await world.work(4);
    await reached(world, 2);
    expect(atMiner(world).check({ priceMsatPerEh: PRICE / 2n }).fromHashes).toBe(10n * SHARE.workHashes);
    world.chain.generate(6);
    await until('over', () => world.miner.status.stream !== 'live');
    await until('closed together', () => world.maker.status[0]?.channel !== 'open');
    await world.stop();
  });

  it('are a chain of events, the same at both sides, of which none can be removed or edited (I52)', async () => {
    const world = worldOf();
    await world.open();
    await world.work(4);
    await reached(world, 1);
    await atMiner(world).propose({ priceMsatPerEh: PRICE / 3n });
    await atMaker(world).revoke();
    await atMaker(world).propose({ priceMsatPerEh: PRICE / 2n, fromHashes: 6n * SHARE.workHashes });
    await atMiner(world).confirm();
    await agreed(world, 1);
    await world.work(8);
    await reached(world, 2);
    await world.miner.closeNow();
    const { contractId } = world;
    const source = async (store: MemoryLedger) => {
      return readStream(store, (await loadContract(store, contractId))!);
    };
    const [miner, maker] = [await source(world.minerStore), await source(world.makerStore)];
    const events = contractEvents(miner);
    const names = events.map(({ event }) => event);
    expect(names.filter((name) => name !== 'LogState')).toEqual([
      'LogCreate',
      'LogConfirmUpdate',
      'LogConfirmUpdate',
      'LogExecuteUpdate',
      'LogRevokeUpdate',
      'LogRedeem',
    ]);
    // What each signed of the revocation stands there as its own, or the other's.
    const upTo = names.indexOf('LogRevokeUpdate');
    expect(contractEvents(maker).slice(0, upTo)).toEqual(events.slice(0, upTo));
    // Each state that both committed to has the head that both signed, and no other is taken for it.
    const states = events.filter(({ event }) => event === 'LogState');
    expect(states.length).toBeGreaterThan(1);
    const byNumber = new Map(miner.commitments.map((record) => [record.n, record]));
    for (const { n, hash } of states) expect(toHex(byNumber.get(Number(n))!.eventsHead!)).toBe(hash);
    expect(maker.commitments.map(({ eventsHead }) => eventsHead)).toEqual(
      miner.commitments.map(({ eventsHead }) => eventsHead),
    );
    const flipped = miner.commitments.map((record) => ({
      ...record,
      eventsHead: record.eventsHead!.map((byte, at) => (at === 31 && record.n === 1 ? byte ^ 1 : byte)),
    }));
    expect(() => contractEvents({ ...miner, commitments: flipped })).toThrow('not those that both signed');
    const { signed } = world.miner.status;
    expect(foldEvents(contractId, events)).toEqual({
      ...{ workHashes: signed!.workHashes, paidSat: signed!.paidSat, updates: 1, isOver: true },
      ...{ priceMsatPerEh: PRICE / 2n, stepHashes: STEP },
    });
    expect(streamJson(miner)).toMatchObject({
      ...{ sender: world.terms.makerNodeId, recipient: world.terms.minerNodeId },
      balance_sat: (world.terms.budgetSat - signed!.paidSat).toString(),
      rate: { payment_msat_per_eh: (PRICE / 2n).toString(), interval_hashes: STEP.toString() },
    });
    const { recipient_sat: earned, sender_sat: rest } = streamJson(miner)['balances'] as Record<
      string,
      string
    >;
    expect(BigInt(earned!) + BigInt(rest!)).toBe(world.terms.budgetSat);
    for (const [index, event] of events.entries()) {
      if (index < events.length - 1)
        expect(() => foldEvents(contractId, events.toSpliced(index, 1))).toThrow('does not follow');
      // Signatures are beside the chain.
      for (const field of Object.keys(event).filter((name) => name !== 'signatures')) {
        const edited = { ...event, [field]: `${String(event[field])}0` };
        expect(() => foldEvents(contractId, events.with(index, edited))).toThrow();
      }
    }
    await world.stop();
  });

  it('are held to the policy of the maker, at its very edges, and what is refused does not stick', async () => {
    const edge = (PRICE * 3n) / 4n;
    const policy = { maxPriceMsatPerEh: edge, minStepHashes: STEP / 2n, maxStepHashes: 2n * STEP };
    const world = worldOf({ terms: { priceMsatPerEh: PRICE / 2n }, policy });
    await world.open();
    for (const [side, change, path] of [
      [atMiner, { priceMsatPerEh: edge + 1n }, 'price_msat_per_eh'],
      [atMaker, { priceMsatPerEh: edge + 1n }, 'price_msat_per_eh'],
      [atMiner, { stepHashes: 2n * STEP + 1n }, 'step_hashes'],
      [atMaker, { stepHashes: 2n * STEP + 1n }, 'step_hashes'],
      [atMiner, { stepHashes: STEP / 2n - 1n }, 'step_hashes'],
    ] as const) {
      const [value] = Object.values(change).map(String);
      await expect(side(world).propose(change)).rejects.toMatchObject({
        ...{
          code: 'bad_terms',
          meta: { path, got: value, allowed: expect.stringMatching(/^at (most|least)/) },
        },
      });
      for (const each of [atMiner, atMaker]) {
        expect(each(world).state.pending).toBeUndefined();
        expect(updatesOf(each(world).state.terms)).toEqual([]);
      }
    }
    expect(world.maker.market.refused).toHaveLength(5);
    expect(world.maker.market.refused[0]).toMatchObject({ what: 'update', got: `${edge + 1n}` });
    await atMiner(world).propose({ priceMsatPerEh: edge, stepHashes: 2n * STEP, fromHashes: 0n });
    // What waits is judged again where this side signs: the policy was changed meanwhile.
    await world.restartMaker({ applyPolicy: () => ({ ...world.policy, maxPriceMsatPerEh: edge - 1n }) });
    await world.maker.policies.set({ max_price: 'less' });
    await until('it waits', () => atMaker(world).state.pending?.by === 'peer');
    expect(await refusal(atMaker(world).confirm())).toBe('bad_terms');
    await world.restartMaker({ applyPolicy: () => ({ ...world.policy, isHalted: true }) });
    await world.maker.policies.set({ halt: 'true' });
    expect(await refusal(atMaker(world).confirm())).toBe('maker_halted');
    await world.restartMaker({ applyPolicy: () => world.policy });
    await atMaker(world).confirm();
    await agreed(world, 1);
    await world.work(8);
    await reached(world, 1);
    expect(world.miner.status.signed?.paidSat).toBe((2n * STEP * edge) / 10n ** 21n);
    // A maker that takes nothing new may still pay less.
    await world.restartMaker({ applyPolicy: () => ({ ...world.policy, isHalted: true }) });
    await world.maker.policies.set({ halt: 'true' });
    await atMiner(world).propose({ priceMsatPerEh: edge - 1n });
    await until('it waits', () => atMaker(world).state.pending?.by === 'peer');
    await atMaker(world).confirm();
    await agreed(world, 2);
    await world.stop();
  });

  it('are held to what the miner may have unpaid, whoever proposes them', async () => {
    const world = worldOf();
    // Three steps of now earn half of it.
    const limits = { maxExposureSat: (6n * STEP * PRICE) / 10n ** 21n };
    world.minerDeps = { judgeUpdate: (asked) => judgeSale(limits, [], asked) };
    await world.open();
    for (const side of [atMaker, atMiner]) {
      await expect(side(world).propose({ stepHashes: 2n * STEP + 1n })).rejects.toMatchObject({
        ...{ code: 'bad_terms', meta: { path: 'step_hashes' } },
        message: expect.stringContaining('sell.max_exposure'),
      });
      for (const each of [atMiner, atMaker]) expect(each(world).state.pending).toBeUndefined();
    }
    await atMaker(world).propose({ stepHashes: 2n * STEP });
    await atMiner(world).confirm();
    await agreed(world, 1);
    await world.stop();
  });

  it('are proposed, shown and confirmed by what the daemons are asked', async () => {
    const world = worldOf();
    await world.open();
    const { contractId: contract } = world;
    const actionsOf = (side: ContractUpdates) => updateActions(() => ({ contract, updates: side }));
    const [miner, maker] = [actionsOf(atMiner(world)), actionsOf(atMaker(world))];
    const price = (PRICE / 2n).toString();
    const dry = { dry_run: true, price_msat_per_eh: price };
    expect(await miner['contract/update']!(dry)).toMatchObject({ dry_run: true, pending: null });
    expect(
      await refusal(Promise.resolve(miner['contract/update']!({ dry_run: true, step_hashes: '0' }))),
    ).toBe('bad_terms');
    for (const bad of [{ price_msat_per_eh: 5 }, { from_hashes: '-1' }, { stop_height: 'x' }])
      expect(await refusal(Promise.resolve(miner['contract/update']!(bad)))).toBe('usage');
    expect(await miner['contract/update']!({ price_msat_per_eh: price, from_hashes: '0' })).toMatchObject({
      pending: { by: 'own', number: 1, price_msat_per_eh: price },
      price_msat_per_eh: PRICE.toString(),
    });
    expect(await maker['contract/confirm']!({ dry_run: true })).toMatchObject({ pending: { by: 'peer' } });
    expect(await maker['contract/confirm']!({})).toMatchObject({ pending: null, price_msat_per_eh: price });
    await agreed(world, 1);
    expect(await miner['contract/updates']!({})).toMatchObject({ agreed: [{ update: { number: 1 } }] });
    expect(await refusal(Promise.resolve(miner['contract/revoke']!({})))).toBe('update_unknown');
    await world.stop();
  });
});
