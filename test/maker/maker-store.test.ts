import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CodedError, codeOf, type ErrorCode } from '../../src/base/errors.ts';
import { MonotoneSigner, type StateSigner } from '../../src/channel/monotone-signer.ts';
import { type SignedState, signState, verifySignedState } from '../../src/channel/states.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { NO_CONTRACT_LUCK } from '../../src/maker/contract-luck.ts';
import type { Credit } from '../../src/maker/credit-entries.ts';
import { MakerStore, type MakerStoreDeps, makerJobKey } from '../../src/maker/maker-store.ts';
import { jobRecordOf } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { backup, restore } from './backup.ts';
import type { MortalLedger } from './world.ts';
import { SHARE, until, World } from './world.ts';

const W = SHARE.workHashes;
const world = new World();
let stored: readonly LedgerEntry[];

/** One real channel, with state 1 of four shares acked and a fifth share credited. */
beforeAll(async () => {
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  await world.work(1);
  await until('credited', () => world.maker.status[0]!.verifiedWorkHashes === 5n * W);
  await world.stop();
  stored = await backup(world.makerStore, world.contractId);
});
afterAll(() => world.stop());

type Stood = {
  readonly store: MakerStore;
  readonly ledger: MortalLedger;
  readonly lines: ReturnType<typeof recorder>['lines'];
};

/** Its store, loaded anew. */
async function loaded(
  deps: Partial<MakerStoreDeps> = {},
  entries: readonly LedgerEntry[] = stored,
): Promise<Stood> {
  const ledger = await restore(entries);
  const { log, lines } = recorder();
  const { clock, timers } = new VirtualTime();
  const all = { ledger, log, clock, timers, signer: world.makerSigner, ...deps } as MakerStoreDeps;
  const store = (await MakerStore.load(world.contractId, all))!;
  return { store, ledger, lines };
}

/** A state that this maker signed, and another store never saw. */
function signed(store: MakerStore, n: number, workHashes: bigint): SignedState {
  const signer = world.makerSigner.forChannel(store.contract.channelIndex);
  return signState(store.assembled!.params, n, workHashes, signer);
}

const credit = (changes: Partial<Credit> = {}): Credit => ({
  ...{
    shares: ShareRows.empty(0),
    workHashes: 0n,
    jobs: [],
    nextSeq: 6,
    refused: [],
    ownWorkHashes: 9n * W,
  },
  ...{ luck: NO_CONTRACT_LUCK, counts: [], ...changes },
});

const refusedShare: Credit['refused'][number] = {
  ...{ seq: 5, code: 'share_low', job: undefined, workHashes: W },
  share: {
    ...{ jobId: 1, difficulty: 1, ntime: 1, nonce: 1, version: 1 },
    ...{ extranonce1: new Uint8Array(4), extranonce2: new Uint8Array(4) },
  },
};

describe('the store of a channel', () => {
  it('is after a start what it was: states, acks, work, jobs, and what is under way', async () => {
    const { store } = await loaded();
    expect([store.ackedN, store.offered, store.isClosed, store.isSettled]).toEqual([
      ...[1, undefined, false, true],
    ]);
    expect(store.last).toMatchObject({ n: 1, workHashes: 4n * W });
    expect(store.delivery).toMatchObject({ nextSeq: 5, verifiedWorkHashes: 5n * W });
    expect(store.evidence).toEqual({ seq: 5, workHashes: 5n * W });
    expect(store.sealClaim).toBe(undefined);
    expect(store.luck.block.solutions).toBe(0);
    expect(await store.storedJob(999_999)).toBe(undefined);
    const other = await loaded({}, []).catch(() => undefined);
    expect(other?.store).toBe(undefined);
  });

  it('that the disk refuses a batch has nothing of it, and all of it with the next', async () => {
    const { store, ledger } = await loaded();
    const before = { delivery: store.delivery, evidence: store.evidence, luck: store.luck };
    ledger.deathAt = () => 'refused';
    const batch = credit({ refused: [refusedShare] });
    expect(await store.credit(batch).catch(codeOf)).toBe('overload');
    const { delivery, evidence, luck } = store;
    expect({ delivery, evidence, luck }).toEqual(before);
    expect(store.state.workHashes).toBe(5n * W);
    expect(await ledger.store.get('refusals', world.contractId)).toBe(undefined);
    ledger.deathAt = () => undefined;
    const bytes = await store.credit(batch);
    const body = await ledger.store.get('refusals', world.contractId);
    expect(bytes).toBe(body!.length);
    expect(store.delivery).toMatchObject({ nextSeq: 6, ownWorkHashes: 9n * W, verifiedWorkHashes: 5n * W });
    expect(await store.credit(credit({ nextSeq: 7 }))).toBe(0);
  });
});

describe('a state', () => {
  it('is signed over all that is verified, on disk, once, and is then the one in flight', async () => {
    const { store, ledger } = await loaded();
    await store.signNext(new Set());
    expect(store.offered).toMatchObject({ n: 2, workHashes: 5n * W });
    const { receiptSignature: _own, ...state } = signed(store, 2, 5n * W);
    expect(store.offered).toEqual({ ...state, receiptSignature: expect.stringMatching(/^[\da-f]{128}$/) });
    verifySignedState(store.assembled!.params, store.offered!);
    expect(await ledger.store.list('state', world.contractId)).toHaveLength(3);
    expect(store.commitments.pending).toBe(undefined);
    await expect(store.signNext(new Set())).rejects.toThrow('maker_one_state_in_flight');
    await store.ack(2, '22'.repeat(64));
    expect([store.ackedN, store.offered, store.isSettled]).toEqual([2, undefined, true]);
    const again = await loaded({}, await backup(ledger.store, world.contractId));
    expect([again.store.ackedN, again.store.offered, again.store.isSettled]).toEqual([2, undefined, true]);
  });

  it('has a commitment where the miner knows them, and none where the evidence cannot be read', async () => {
    const features = new Set(['state_commitments', 'fault_log'] as const);
    const { store, lines } = await loaded();
    await store.signNext(features);
    expect(store.commitments.pending).toMatchObject({ n: 2, baseN: 1, nextSeq: 5 });
    expect(lines).toEqual([]);
    // The pay is not withheld.
    const blind = await loaded();
    blind.store.storedJob = () => Promise.reject(new CodedError('ledger_corrupt'));
    await blind.store.signNext(features);
    expect(blind.store.offered).toMatchObject({ n: 2, workHashes: 5n * W });
    expect(blind.store.commitments.pending).toBe(undefined);
    expect(blind.lines.map(([level, { code }, text]) => [level, code, text])).toEqual([
      ['warn', 'ledger_corrupt', 'a state commits to no evidence'],
    ]);
  });

  it('that the disk has no room for suspends the contract: no other content may follow', async () => {
    const { store, ledger } = await loaded();
    ledger.deathAt = () => 'refused';
    expect(await store.signNext(new Set()).catch(codeOf)).toBe('overload');
    expect([store.isSuspended, store.offered, store.last?.n]).toEqual([true, undefined, 1]);
    ledger.deathAt = () => undefined;
    expect(await store.signNext(new Set()).catch(codeOf)).toBe('channel_frozen');
    expect(await store.credit(credit()).catch(codeOf)).toBe('channel_frozen');
  });

  it('is not signed by a signer that cannot remember it, which suspends the contract; else it is tried again', async () => {
    let code: ErrorCode | undefined;
    const openStateSigner: MakerStoreDeps['openStateSigner'] = (options, deps) => {
      const inner = new MonotoneSigner(options, deps);
      return {
        get last() {
          return inner.last;
        },
        adopt: (state) => inner.adopt(state),
        sign: (n, workHashes) => {
          if (code !== undefined) throw new CodedError(code);
          return inner.sign(n, workHashes);
        },
      } satisfies StateSigner;
    };
    const { store } = await loaded({ openStateSigner });
    code = 'bad_key_file';
    await expect(store.signNext(new Set())).rejects.toThrow('bad_key_file');
    expect(store.isSuspended).toBe(false);
    code = 'channel_frozen';
    await expect(store.signNext(new Set())).rejects.toThrow('channel_frozen');
    expect([store.isSuspended, store.last?.n]).toEqual([true, 1]);
  });

  it('is none once a close is stored', async () => {
    const { store } = await loaded();
    const close = { kind: 'together', transactionHex: '00', n: 1, feeSat: 5n, vsize: 9 } as const;
    await store.commit({ type: 'close_built', close });
    expect(await store.signNext(new Set()).catch(codeOf)).toBe('wrong_status');
  });
});

describe('a newer state of this maker', () => {
  it('that the miner shows is taken over with its work, and no share of before is credited again', async () => {
    const { store, ledger, lines } = await loaded();
    const newer = signed(store, 3, 8n * W);
    await store.adopt(newer, 9, 77);
    expect([store.ackedN, store.offered]).toEqual([3, undefined]);
    expect(store.last).toEqual(newer);
    expect(store.delivery).toMatchObject({ nextSeq: 9, verifiedWorkHashes: 8n * W, restoredHeight: 77 });
    expect(lines.map(([level, , text]) => [level, text])).toContainEqual([
      ...['warn', 'restored from the state of the miner'],
    ]);
    const again = await loaded({}, await backup(ledger.store, world.contractId));
    expect(again.store.delivery).toEqual(store.delivery);
    // The next goes on from there.
    await store.credit(credit({ nextSeq: 10, workHashes: W }));
    await store.signNext(new Set());
    expect(store.offered).toMatchObject({ n: 4, workHashes: 9n * W });
  });

  it('of no more work than is verified here moves no work, and what is known already nothing', async () => {
    const { store, ledger } = await loaded();
    const { appends } = ledger;
    await store.adopt(store.last!, 99, 77);
    expect([ledger.appends - appends, store.delivery.nextSeq]).toEqual([0, 5]);
    await store.adopt(signed(store, 2, 5n * W), 4, 78);
    expect(store.delivery).toMatchObject({ nextSeq: 5, verifiedWorkHashes: 5n * W, restoredHeight: 78 });
    const forged = { ...signed(store, 3, 9n * W), paidSat: 1n };
    expect(await store.adopt(forged, 9, 79).catch(codeOf)).not.toBe(undefined);
    expect(store.last?.n).toBe(2);
    store.suspend(new CodedError('overload'));
    expect(await store.adopt(signed(store, 3, 9n * W), 9, 79).catch(codeOf)).toBe('channel_frozen');
  });

  it('that its signer remembers is offered as if just signed; where the work is unknown it is an old ledger', async () => {
    const ahead = (workHashes: bigint): Partial<MakerStoreDeps> => ({
      openStateSigner: (options, deps) => {
        const inner = new MonotoneSigner(options, deps);
        if (options.last?.n === 1) inner.sign(2, workHashes);
        return inner;
      },
    });
    const stalled = await loaded(ahead(5n * W));
    expect(await stalled.store.recover(77)).toBe(false);
    expect(stalled.store.offered).toMatchObject({ n: 2, workHashes: 5n * W });
    expect(stalled.store.delivery).toMatchObject({ nextSeq: 5, restoredHeight: 0 });
    const old = await loaded(ahead(5n * W + 1n));
    expect(await old.store.recover(77)).toBe(true);
    expect(old.store.delivery).toMatchObject({ verifiedWorkHashes: 5n * W + 1n, restoredHeight: 77 });
    expect(old.lines.map(([, , text]) => text)).toContain('restored from the signer');
    // What it knows as well is nothing new.
    const level = await loaded();
    const { appends } = level.ledger;
    expect([await level.store.recover(77), level.ledger.appends - appends]).toEqual([false, 0]);
    const frozen = await loaded(ahead(5n * W));
    frozen.store.suspend(new CodedError('overload'));
    expect(await frozen.store.recover(77)).toBe(false);
    expect(frozen.store.last?.n).toBe(1);
  });

  it('of the number of the newest is that one, or the proof of two contents, or none of ours', async () => {
    const { store, ledger } = await loaded();
    await store.compare(store.last!);
    await store.compare(signed(store, 1, 4n * W));
    const forged = { ...signed(store, 1, 3n * W), workHashes: 2n * W };
    expect(await store.compare(forged).catch(codeOf)).not.toBe('equivocation');
    expect([store.frozen, await ledger.store.list('equivocation')]).toEqual([undefined, []]);
    expect(await store.compare(signed(store, 1, 3n * W)).catch(codeOf)).toBe('equivocation');
    expect(store.frozen?.code).toBe('equivocation');
    expect(await ledger.store.list('equivocation')).toHaveLength(1);
  });

  it('and what it commits to are taken over where they are ours; else it is said, and the rest goes on', async () => {
    const { store, lines } = await loaded();
    const base = store.commitments.base!;
    await store.restoreCommitment(base);
    expect([store.commitments.base, lines]).toEqual([base, []]);
    await store.restoreCommitment({ ...base, makerSignature: '11'.repeat(64) });
    expect(lines.map(([level, { code }]) => [level, code])).toEqual([['warn', 'bad_signature']]);
    expect(store.commitments.base).toBe(base);
  });
});

it('a job of the channel is found by its id', async () => {
  const { store, ledger } = await loaded();
  const job = jobRecordOf(world.job());
  await ledger.append([
    { type: 'insert', kind: 'job', id: makerJobKey(world.contractId, job.id), body: 'of the job' },
  ]);
  expect(await store.storedJob(job.id)).toBe('of the job');
});
