import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import type { ChannelView } from '../../src/chain/watcher.ts';
import type { LifecycleEvent, LifecycleOptions } from '../../src/channel/lifecycle-state.ts';
import type { SignedState } from '../../src/channel/states.ts';
import { signState } from '../../src/channel/states.ts';
import { NO_NOTICES } from '../../src/contract/notices.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { ContractStore, type ContractStoreDeps } from '../../src/settlement/contract-store.ts';
import type { AssembledChannel } from '../../src/settlement/opening.ts';
import {
  type ChannelRecord,
  EQUIVOCATION_KIND,
  NOTHING_DELIVERED,
  type OpeningRecord,
  type StoredContract,
} from '../../src/settlement/records.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { countedTimers } from '../chain/fake-node.ts';
import { recorder } from '../chain/log-recorder.ts';
import { CHILD_VSIZE, LADDER } from '../chain/watch-model.ts';
import { EH, makeParams, makerSigner } from '../channel/fixtures.ts';
import {
  EXPIRY,
  opened,
  opening,
  optionsFor,
  START,
  spent,
  TERMS,
  tip,
  unspent,
  workOf,
} from '../channel/lifecycle-model.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const TXID = 'f0'.repeat(32);
const params = makeParams({}, TERMS);
const stateOf = (n: number, workHashes = BigInt(n) * EH): SignedState =>
  signState(params, n, workHashes, makerSigner);
const ENTRY: LedgerEntry = { type: 'put', kind: 'test', id: 'x', body: '1' };

const CLOSE_TX =
  '02000000000101f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f00100000000fdffffff' +
  '01e803000000000000160014000000000000000000000000000000000000000001010000000000';

class Store extends ContractStore {
  changes = 0;

  constructor(options: LifecycleOptions, deps: ContractStoreDeps) {
    super('c0', options, deps);
    this.assembled = { params, funding: { txid: TXID, vout: 1 } } as AssembledChannel;
  }

  protected override stateChanged(): void {
    this.changes += 1;
  }

  save(state: SignedState): Promise<void> {
    return this.saveState(state, []);
  }

  put(isOwed?: boolean): Promise<void> {
    return this.write([ENTRY], isOwed);
  }

  break(held: SignedState, shown: SignedState): Promise<never> {
    return this.breakContract(held, shown, new CodedError('equivocation', 'twice'));
  }

  load(record: StoredContract | undefined): void {
    this.restore(record, { workHashes: 0n, ackedN: 0, claimedN: undefined, notices: NO_NOTICES });
  }

  agreeOn(opening: Parameters<ContractStore['agree']>[0]): Promise<void> {
    return this.agree(opening, this.assembled!);
  }

  get isUnbroken(): boolean {
    try {
      this.assertUnbroken();
      return true;
    } catch {
      return false;
    }
  }
}

function setUp(role: 'miner' | 'maker' = 'miner', events: readonly LifecycleEvent[] = opened(role)) {
  const time = new VirtualTime();
  const timers = countedTimers(time.timers);
  // The ledger has time of its own: it writes while that of the store stands still.
  const ledger = new MemoryLedger();
  const { lines, log } = recorder();
  const store = new Store(optionsFor(role), { ledger, clock: time.clock, timers, log });
  const told: string[] = [];
  store.onEffects = (effects) => void told.push(...effects.map(({ type }) => type));
  const run = async (of: readonly LifecycleEvent[]): Promise<void> => {
    for (const event of of) await store.commit(event);
  };
  const start = async (): Promise<void> => {
    await run(events);
    told.length = 0;
    lines.length = 0;
  };
  const record = async () => {
    const body = await ledger.get('channel', 'c0');
    return body === undefined ? undefined : (JSON.parse(body) as Record<string, unknown>);
  };
  return { time, timers, ledger, lines, store, told, run, start, record };
}

const codeFrom = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', codeOf);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a promise', () => {
  it('changes nothing, and is told to nobody, before it is on disk', async () => {
    const { store, ledger, told, start, record } = setUp('maker');
    await start();
    await store.commit(workOf(EH));
    expect(told).toContain('sign_state');
    told.length = 0;
    ledger.hold();
    const saved = store.save(stateOf(1));
    await turn();
    expect(store.state.stream.signed?.n).toBe(0);
    expect([store.last?.n, store.best?.n]).toEqual([undefined, 1]);
    expect(told).toEqual([]);
    expect(await record()).toMatchObject({ n: 0 });
    ledger.release();
    await saved;
    expect([store.last?.n, store.best?.n]).toEqual([1, 1]);
    expect(told).toContain('offer_state');
    expect(told).not.toContain('persist');
    expect(await record()).toMatchObject({
      ...{ version: 1, role: 'maker', status: 'open', n: 1, work: EH.toString() },
      ...{ funding_txid: TXID, funding_vout: 1, close_tx: null, close_fee_sat: null },
    });
    expect(store.channel).toMatchObject({ n: 1, status: 'open' });
  });

  it('that changes nothing on disk writes nothing, but for entries of its own', async () => {
    const { store, ledger, start } = setUp();
    await start();
    const before = ledger.stats.rows;
    await store.commit({ type: 'evidence', isDrained: true });
    expect(ledger.stats.rows).toBe(before);
    await store.commit({ type: 'evidence', isDrained: true }, [ENTRY]);
    expect(await ledger.get('test', 'x')).toBe('1');
  });

  it('that a full queue refuses has changed nothing, and is no fault', async () => {
    const { store, ledger, start, told } = setUp('maker');
    await start();
    const before = store.state;
    ledger.failNext(new CodedError('overload'));
    expect(await codeFrom(store.save(stateOf(1)))).toBe('overload');
    expect(store.state).toEqual(before);
    expect([store.frozen, store.isSuspended, told.length]).toEqual([undefined, false, 0]);
    await store.save(stateOf(1));
    expect(store.last?.n).toBe(1);
  });

  it('that the disk refuses suspends the contract, said once; what is verified closes it all the same', async () => {
    const { store, ledger, start, lines } = setUp();
    await start();
    ledger.failNext(new CodedError('ledger_io', 'no space'));
    expect(await codeFrom(store.save(stateOf(2)))).toBe('channel_frozen');
    expect(store.state.fault).toEqual({ type: 'suspended', code: 'ledger_io' });
    expect(store.frozen?.code).toBe('channel_frozen');
    expect(store.frozen?.message).toContain('ledger_io');
    expect([store.isSuspended, store.best?.n, store.last]).toEqual([true, 2, undefined]);
    store.suspend(new CodedError('channel_frozen', 'again'));
    const detail = 'channel_frozen: ledger_io';
    const fields = { contract: 'c0', code: 'channel_frozen', detail, expiryHeight: EXPIRY };
    expect(lines).toMatchObject([
      ['error', fields, 'nothing new is promised for this contract; its close stays armed'],
    ]);
    expect(await codeFrom(store.commit({ type: 'evidence', isDrained: true }, [ENTRY]))).toBe(
      'channel_frozen',
    );
    expect(() => store.assertThawed()).toThrow('channel_frozen: ledger_io');
    expect(() => store.assertPaying()).toThrow('channel_frozen');
    expect(store.isUnbroken).toBe(true);
    for (const isOwed of [false, true, undefined])
      expect(await codeFrom(store.put(isOwed))).toBe('channel_frozen');
  });

  it('that is none of its status is refused before anything is written', async () => {
    const { store, ledger, start } = setUp();
    await start();
    const before = ledger.stats.rows;
    expect(await codeFrom(store.commit({ type: 'contract_signed' }, [ENTRY]))).toBe('wrong_status');
    expect(ledger.stats.rows).toBe(before);
  });

  it('is not applied as what needs no disk', async () => {
    const { store, start, told } = setUp();
    await start();
    expect(() => store.apply({ type: 'close_signed', n: 0, feeSat: 7n })).toThrow(
      'applied_event_is_not_stored',
    );
    const other = setUp();
    await other.start();
    const changes = other.store.changes;
    other.store.apply({ type: 'close_requested' });
    expect(other.store.changes).toBe(changes + 1);
    expect(other.told).toContain('ending');
    expect(told).toEqual([]);
  });
});

describe('a chain that stands still', () => {
  it('stops promises, not what is owed, and is over when blocks come', async () => {
    const { store, start, told, run } = setUp('maker');
    await start();
    store.setStalled(false);
    store.setStalled(true);
    expect([store.frozen, store.isSuspended]).toEqual([undefined, false]);
    expect(store.state.fault?.code).toBe('chain_stalled');
    expect(() => store.assertThawed()).toThrow('channel_frozen: chain_stalled');
    expect(() => store.assertPaying()).not.toThrow();
    await run([workOf(EH)]);
    expect(told).toContain('sign_state');
    await store.save(stateOf(1));
    await store.commit({ type: 'state_acked', n: 1 }, [ENTRY]);
    expect(await codeFrom(store.commit({ type: 'seal_lost' }, [ENTRY]))).toBe('channel_frozen');
    expect(await codeFrom(store.put())).toBe('channel_frozen');
    await store.put(true);
    await store.commit({ type: 'close_signed', n: 1, feeSat: 700n });
    store.setStalled(false);
    expect(store.state.fault).toBeUndefined();
    await store.put();
  });

  it('that comes again lifts no other fault', async () => {
    const { store, start } = setUp();
    await start();
    store.suspend(new CodedError('channel_frozen', 'x', {}, { cause: new CodedError('ledger_io') }));
    store.setStalled(true);
    store.setStalled(false);
    expect(store.state.fault).toEqual({ type: 'suspended', code: 'ledger_io' });
  });
});

describe('what the chain says', () => {
  it('is in memory at once, and its effects are due after two seconds whatever the disk does', async () => {
    const { store, ledger, start, time, timers } = setUp();
    await start();
    ledger.hold();
    let due: readonly { type: string }[] | undefined;
    const recorded = store
      .record({ type: 'close_alone', height: START + 3, view: unspent(3) }, [ENTRY])
      .then((effects) => {
        due = effects;
      });
    expect(store.state.watch.outputStatus).toBe('unspent');
    await time.advance(1_999);
    expect(due).toBeUndefined();
    await time.advance(1);
    await recorded;
    expect(due!.map(({ type }) => type)).toEqual(['close_alone']);
    ledger.release();
    await store.settled();
    expect(await ledger.get('test', 'x')).toBe('1');
    expect(timers.pending).toBe(0);
  });

  it('leaves no timer once it is written, and is told apart: the own effects to the contract', async () => {
    const { store, start, timers, told, record } = setUp();
    await start();
    const due = await store.record(tip(START + 3, spent(0)));
    expect(timers.pending).toBe(0);
    expect(await record()).toMatchObject({ status: 'closing' });
    expect(due).toEqual([]);
    const end = await store.record(tip(START + 6, spent(3)));
    expect(end.map(({ type }) => type)).toEqual(['final']);
    expect(told).not.toContain('final');
    expect(told).not.toContain('persist');
    expect(store.isSpent).toBe(true);
    const over = await store.record(tip(START + 13, spent(10)));
    expect(over.map(({ type }) => type)).toEqual(['over']);
  });

  it('is asked of the disk at once, also a close behind bids that a slow disk has not taken yet', async () => {
    const { store, ledger, start } = setUp();
    await start();
    ledger.hold();
    const view = { ...unspent(9), ladder: LADDER, childVsize: CHILD_VSIZE, satPerKvb: 9_000 };
    await store.record(tip(EXPIRY - 5, view));
    const before = ledger.stats.queuedWrites;
    expect(before).toBeGreaterThan(0);
    const { feeSat, vsize } = store.state.watch.close!;
    const close = { kind: 'state', transactionHex: CLOSE_TX, n: 0, feeSat, vsize } as const;
    const built = store.record({ type: 'close_built', close });
    await Promise.resolve();
    await Promise.resolve();
    expect(ledger.stats.queuedWrites).toBeGreaterThan(before);
    ledger.release();
    await built;
    await store.settled();
    expect(JSON.parse((await ledger.get('channel', 'c0'))!)).toMatchObject({ close_tx: CLOSE_TX });
    expect(JSON.parse((await ledger.get('bids', 'c0'))!)).toMatchObject({ bid_since: EXPIRY - 5 });
  });

  it('that a full queue refused is written with the next of it, and once', async () => {
    const { store, ledger, start, lines, record } = setUp();
    await start();
    ledger.failNext(new CodedError('overload', 'full'));
    await store.record(tip(START + 3, spent(0)));
    expect(lines).toMatchObject([
      ['error', { contract: 'c0', code: 'overload' }, 'not recorded; done all the same'],
    ]);
    expect(store.state.fault).toBeUndefined();
    expect(await record()).toMatchObject({ status: 'open' });
    await store.record(tip(START + 3, spent(0)));
    expect(await record()).toMatchObject({ status: 'closing' });
    const before = ledger.stats.rows;
    await store.record(tip(START + 3, spent(0)));
    expect(ledger.stats.rows).toBe(before);
  });

  it('is taken also where the disk is gone, which suspends the contract', async () => {
    const { store, ledger, start } = setUp();
    await start();
    ledger.failNext(new CodedError('ledger_io'));
    const due = await store.record({ type: 'close_alone', height: START + 3, view: unspent(3) }, [ENTRY]);
    expect(due.map(({ type }) => type)).toEqual(['close_alone']);
    expect(store.isSuspended).toBe(true);
  });

  it('has what follows for the contract told to it', async () => {
    const { store, run, told } = setUp();
    await run([...opening(), { type: 'funding_signed' }, { type: 'connected' }]);
    told.length = 0;
    await store.record(tip(START + 2, unspent(2)));
    expect(told).toEqual(['send_ready']);
  });

  it('tells how deep the funding is', async () => {
    const { store, run } = setUp();
    await run([...opening(), { type: 'funding_signed' }]);
    for (const [depth, isDeep] of [
      [0, false],
      [TERMS.minDepth - 1, false],
      [TERMS.minDepth, true],
    ] as const) {
      await store.record(tip(START + depth, unspent(depth)));
      expect(store.isDeep).toBe(isDeep);
    }
    expect(store.isSpent).toBe(false);
  });
});

describe('a second content of a state', () => {
  it('breaks the contract for good, with both as proof', async () => {
    const { store, ledger, start, lines } = setUp();
    await start();
    const [held, shown] = [stateOf(3), stateOf(3, 4n * EH)];
    expect(await codeFrom(store.break(held, shown))).toBe('equivocation');
    expect(store.frozen?.code).toBe('equivocation');
    expect([store.isSuspended, store.isUnbroken]).toEqual([false, false]);
    const [proof] = await ledger.list(EQUIVOCATION_KIND, 'c0:');
    expect(proof!.id).toBe('c0:0000000003');
    expect(JSON.parse(proof!.body)).toMatchObject({ held: { n: 3 }, shown: { n: 3 } });
    const fields = { code: 'equivocation', detail: 'equivocation: twice' };
    expect(lines).toMatchObject([['error', fields, expect.any(String)]]);
  });
});

describe('the opening', () => {
  const agreed = {
    version: 1,
    open: {},
    accept: { state0: stateOf(0, 0n) },
  } as unknown as OpeningRecord & {
    accept: NonNullable<OpeningRecord['accept']>;
  };

  it('that cannot be stored leaves no channel for which something could be signed', async () => {
    const { store, ledger, run } = setUp();
    await run([{ type: 'contract_signed' }]);
    ledger.failNext(new CodedError('overload'));
    const printed = store.agreeOn(agreed).catch((error: unknown) => error);
    expect(await printed).toBeInstanceOf(Error);
    expect([store.assembled, store.opening, store.last]).toEqual([undefined, undefined, undefined]);
    expect(store.state.status).toBe('proposed');
    expect(store.channel).toBeUndefined();
  });

  it('has no record before there is a state', async () => {
    const { store, run, record } = setUp();
    await run([{ type: 'contract_signed' }]);
    expect([store.channel, await record()]).toEqual([undefined, undefined]);
    await run(opening().slice(1));
    expect(store.channel).toMatchObject({ status: 'opening', n: 0, closeTx: undefined });
    expect(store.channel).not.toHaveProperty('askedHeight');
  });

  it('comes too late near the expiry, while it waits for its funding', async () => {
    const { store, run } = setUp();
    await run([...opening(), { type: 'funding_signed' }]);
    await store.record(tip(START, unspent(0)));
    expect(() => store.assertOpenable()).not.toThrow();
    await store.record(tip(EXPIRY - 15, unspent(0)));
    expect(() => store.assertOpenable()).toThrow(`expiry_near: block ${EXPIRY - 15} is too late`);
    const other = setUp();
    await other.start();
    await other.store.record(tip(EXPIRY - 15, unspent(9)));
    expect(() => other.store.assertOpenable()).not.toThrow();
  });
});

describe('a record that is restored', () => {
  const channel: ChannelRecord = {
    ...{ version: 1, role: 'miner', status: 'open', reason: '', fundingTxid: TXID, fundingVout: 1 },
    ...{ n: 2, workHashes: 2n * EH, paidSat: 970n, closeTx: undefined, closeFeeSat: undefined },
  };
  const restored = (changes: Partial<ChannelRecord> | undefined, more: Partial<StoredContract> = {}) => {
    const { store } = setUp();
    store.load({
      ...{
        contractId: 'c0',
        contract: { terms: TERMS } as never,
        opening: undefined,
        fundingTx: undefined,
      },
      ...{ last: stateOf(2), delivery: undefined, ackedN: 0, isBroken: false, isOver: false },
      channel: changes && { ...channel, ...changes },
      ...more,
    });
    return store;
  };

  it('stands as it was, with what was delivered', () => {
    const store = restored({ askedHeight: 7 });
    expect(store.state).toMatchObject({
      status: 'open',
      askedHeight: 7,
      isCurrent: false,
      fault: undefined,
    });
    expect(store.state.stream.signed).toEqual({ n: 2, workHashes: 2n * EH, paidSat: stateOf(2).paidSat });
    expect([store.last?.n, store.best?.n]).toEqual([2, 2]);
    expect(store.delivery).toEqual(NOTHING_DELIVERED);
    expect(restored({}).channel).not.toHaveProperty('askedHeight');
    const delivery = { ...NOTHING_DELIVERED, nextSeq: 9 };
    expect(restored({}, { delivery }).delivery.nextSeq).toBe(9);
    expect(restored({}, { fundingTx: '00' }).fundingTx).toBe('00');
  });

  it('waits since when it did: what is bid and since when is written, once for each change', async () => {
    const { store, ledger, start } = setUp();
    await start();
    const look = async (height: number, view: ChannelView): Promise<unknown> => {
      await store.record(tip(height, view));
      await store.settled();
      const body = await ledger.get('bids', 'c0');
      return body === undefined ? undefined : JSON.parse(body);
    };
    const child = { ladder: LADDER, childVsize: CHILD_VSIZE, satPerKvb: 9_000 };
    expect(await look(EXPIRY - 20, unspent(9))).toBeUndefined();
    expect(await look(EXPIRY - 5, { ...unspent(9), ...child })).toMatchObject({ bid_since: EXPIRY - 5 });
    const rows = ledger.stats.rows;
    await look(EXPIRY - 5, { ...unspent(9), ...child });
    expect(ledger.stats.rows).toBe(rows);
    const bids = { childFeeSat: 900n, bidSince: EXPIRY - 5, pushFeeSat: 0n, pushSince: undefined };
    const more = { cancelFeeSat: 0n, cancelSince: undefined, waitsSince: 4, lostSince: undefined };
    const again = restored({}, { bids: { ...bids, ...more } });
    expect(again.state.watch).toMatchObject({ ...bids, ...more, outputStatus: 'unspent' });
  });

  it('of nothing is nothing', () => {
    const { store } = setUp();
    store.load(undefined);
    expect(store.state.status).toBe('proposed');
    expect(store.delivery).toEqual(NOTHING_DELIVERED);
    expect(restored(undefined).state.status).toBe('proposed');
  });

  it('is broken by a proof, or where an earlier version froze it', () => {
    const fault = { type: 'broken', code: 'equivocation' };
    expect(restored({}, { isBroken: true }).state.fault).toEqual(fault);
    expect(restored({ status: 'frozen' }).state.fault).toEqual(fault);
    expect(restored({ status: 'frozen', closeTx: '00' }).state.status).toBe('closing');
    expect(restored({ status: 'frozen' }).state.status).toBe('opening');
    expect(restored({ status: 'frozen' }, { fundingTx: '00' }).state.status).toBe('open');
    expect(restored({ status: 'frozen', n: 0 }, { fundingTx: '00' }).state.status).toBe('funding');
  });

  it('has its close, by what it was for', () => {
    const close = (reason: string, closeTx?: string) =>
      restored({ status: 'closing', reason, closeTx, closeFeeSat: 700n }).state.close;
    const half = { transactionHex: undefined, feeSat: 700n, vsize: 0 };
    expect(close('cooperative')).toEqual({ ...half, kind: 'together', n: 2 });
    expect(close('alone')).toEqual({ ...half, kind: 'state', n: 2 });
    expect(close('refund')).toEqual({ ...half, kind: 'refund' });
    const whole = close('cooperative', CLOSE_TX);
    expect(whole).toMatchObject({ kind: 'together', transactionHex: CLOSE_TX, n: 2, feeSat: 700n });
    expect(whole!.vsize).toBeGreaterThan(80);
    expect(restored({ status: 'closing', reason: 'alone' }).state.close).toBeUndefined();
    expect(restored({ status: 'closed' }, { isOver: true }).state.watch.isOver).toBe(true);
    expect(restored({ status: 'closed' }).state.watch.isOver).toBe(false);
  });
});

it('what is committed at one time is written in its order', async () => {
  const { store, start, record } = setUp('maker');
  await start();
  await store.commit(workOf(2n * EH));
  const both = Promise.all([store.save(stateOf(1)), store.save(stateOf(2))]);
  await both;
  expect(await record()).toMatchObject({ n: 2 });
  expect(store.last?.n).toBe(2);
});
