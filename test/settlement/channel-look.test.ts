import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { Spender } from '../../src/chain/source.ts';
import { type ChannelView, SPENT_ELSEWHERE } from '../../src/chain/watcher.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ChannelWatch, outputOf } from '../../src/settlement/channel-watch.ts';
import type { ChainEffect } from '../../src/settlement/contract-store.ts';
import { WATCHED_KIND } from '../../src/settlement/records.ts';
import { minerSigner } from '../channel/fixtures.ts';
import { EXPIRY, Life, MARGINS, opened, optionsFor, START, TERMS } from '../channel/lifecycle-model.ts';
import { funding } from '../channel/psbt-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const FUNDING_TXID = 'f0'.repeat(32);
const CLOSE = new Transaction();
CLOSE.addInput(new Uint8Array(32).fill(0xf0), 1);
CLOSE.addOutput(Uint8Array.of(0x00, 0x14, ...new Uint8Array(20)), 1000n);
const CLOSE_TXID = CLOSE.getId();
const TIP = (height: number) => ({ height, hash: '', timeSeconds: 0 });
const GONE = new CodedError('chain_unreachable', 'gone');

/** A watch of an open channel of the miner; each look gives back what it told the machine. */
function stage(changes: { channel?: object; state?: object; role?: 'miner' | 'maker' } = {}) {
  const { role = 'miner' } = changes;
  const life = new Life(optionsFor(role));
  life.run(opened(role));
  const calls: string[] = [];
  const performed: string[] = [];
  const chain = {
    coin: undefined as { confirmations: number } | undefined,
    /** The coin where transactions that wait are left out. */
    coinInBlocks: undefined as object | undefined,
    spent: undefined as Partial<Spender> | undefined,
    closeDepth: undefined as number | undefined,
    headerDepth: undefined as number | undefined,
    satPerKvb: 2345.5,
    fails: new Set<string>(),
    ask: (name: string): void => {
      calls.push(name);
      if (chain.fails.has(name.split(' ')[0]!)) throw GONE;
    },
    txOut: async (txid: string, _vout: number, withMempool = true) => {
      // The coins of the funding itself.
      if (txid !== FUNDING_TXID) return undefined;
      chain.ask(withMempool ? 'txOut' : 'txOutInBlocks');
      return withMempool ? chain.coin : chain.coinInBlocks;
    },
    spender: async (txid: string, vout: number, blocks: number) => {
      chain.ask(`spender ${txid.slice(0, 2)}:${vout} ${blocks}`);
      return chain.spent;
    },
    confirmations: async () => {
      chain.ask('confirmations');
      return chain.closeDepth;
    },
    header: async () => {
      chain.ask('header');
      return chain.headerDepth === undefined ? undefined : { confirmations: chain.headerDepth };
    },
    feeRateSatPerKvb: async (blocks: number) => {
      chain.ask(`fee ${blocks}`);
      return chain.satPerKvb;
    },
    broadcast: async (hex: string) => chain.ask(`broadcast ${hex}`),
    broadcastPackage: async (hexes: string[]) => chain.ask(`package ${hexes.join(',')}`),
  };
  const ledger = new MemoryLedger();
  const seen: { type: string; height: number; view: ChannelView }[] = [];
  const due: ChainEffect[][] = [];
  const store = {
    ...{
      contractId: 'c0',
      terms: TERMS,
      options: life.options,
      fundingTx: undefined as string | undefined,
    },
    state: { ...life.state, ...changes.state },
    channel: { status: 'open', fundingTxid: FUNDING_TXID, fundingVout: 1, ...changes.channel } as
      | object
      | undefined,
    assembled: undefined,
    record: async (event: (typeof seen)[0]) => {
      seen.push(event);
      return due.shift() ?? [];
    },
  };
  const side = {
    details: () => ({ refundVsize: 130 }),
    perform: async (effect: ChainEffect) => {
      performed.push(effect.type);
      if (chain.fails.has(effect.type)) throw GONE;
    },
  };
  const warnings: string[] = [];
  const log = { ...silentLogger, info: () => undefined, error: () => undefined };
  Object.assign(log, { warn: (_: object, text: string) => void warnings.push(text) });
  const deps = { chain, ledger, signer: minerSigner, log };
  const watch = new ChannelWatch(store as never, side as never, deps as never);
  const look = async (height = START + 5, isForced = false): Promise<ChannelView> => {
    calls.length = 0;
    await watch.look(TIP(height), isForced);
    return seen.at(-1)!.view;
  };
  return { watch, chain, store, ledger, seen, calls, performed, look, due, warnings };
}

describe('a look at a channel', () => {
  it('whose output is unspent tells its depth, and asks for nothing more', async () => {
    const { chain, look, calls, seen } = stage();
    chain.coin = { confirmations: 7 };
    expect(await look()).toEqual({
      ...{ coinDepth: 7, spendDepth: undefined, conflictDepth: undefined, isOurs: false },
      ...{ waiting: undefined, canResend: false, satPerKvb: 0, ladder: [], refundVsize: 130 },
    });
    expect(calls).toEqual(['txOut']);
    expect(seen[0]).toMatchObject({ type: 'tip', height: START + 5 });
  });

  it('tells a foreign spend from the own close, by its txid', async () => {
    const { chain, look } = stage({ channel: { closeTx: CLOSE.toHex() } });
    chain.spent = { txid: '77'.repeat(32), confirmations: 2, blockHash: 'b' };
    expect(await look()).toMatchObject({ spendDepth: 2, isOurs: false });
    const own = stage({ channel: { closeTx: CLOSE.toHex() } });
    own.chain.spent = { txid: CLOSE_TXID, confirmations: 2, blockHash: 'b' };
    expect(await own.look()).toMatchObject({ spendDepth: 2, isOurs: true });
  });

  it('finds its own close by asking for it, and what it pays only while it waits', async () => {
    const { chain, look, calls } = stage({ channel: { closeTx: CLOSE.toHex() } });
    const waiting = { feeSat: 5n } as never;
    chain.closeDepth = 0;
    chain.spent = { txid: CLOSE_TXID, confirmations: 0, waiting };
    expect(await look()).toMatchObject({ spendDepth: 0, isOurs: true, waiting });
    chain.spent = { txid: '77'.repeat(32), confirmations: 0, waiting };
    expect(await look()).toMatchObject({ spendDepth: 0, isOurs: true, waiting: undefined });
    chain.fails.add('spender');
    expect(await look()).toMatchObject({ spendDepth: 0, isOurs: true, waiting: undefined });
    chain.closeDepth = 3;
    expect(await look()).toMatchObject({ spendDepth: 3, isOurs: true });
    expect(calls).toEqual(['txOut', 'confirmations']);
  });

  it('looks no more for a spend whose block stays, and again where that block is gone', async () => {
    const { chain, look, calls } = stage();
    chain.spent = { txid: '77'.repeat(32), confirmations: 1, blockHash: 'b' };
    expect(await look()).toMatchObject({ spendDepth: 1 });
    chain.headerDepth = 4;
    expect(await look()).toMatchObject({ spendDepth: 4 });
    expect(calls.filter((call) => !call.startsWith('fee'))).toEqual(['txOut', 'header']);
    chain.spent = { txid: '88'.repeat(32), confirmations: 2, blockHash: 'c' };
    for (const gone of [-1, 0, undefined]) {
      chain.headerDepth = gone;
      expect(await look()).toMatchObject({ spendDepth: 2 });
      expect(calls).toContain('spender f0:1 6');
    }
    chain.spent = undefined;
    expect(await look()).toMatchObject({ spendDepth: undefined });
  });

  it('searches two days of blocks first, then those since, and none for a funding just sent', async () => {
    const { chain, look, calls, store } = stage();
    await look(START + 5);
    expect(calls).toContain('spender f0:1 288');
    await look(START + 9);
    expect(calls).toContain('spender f0:1 10');
    chain.coin = { confirmations: 1 };
    await look(START + 20);
    chain.coin = undefined;
    await look(START + 21);
    expect(calls).toContain('spender f0:1 7');
    store.fundingTx = '00';
    await look(START + 21);
    expect(calls).toContain('spender f0:1 0');

    // Blocks that were not searched are not taken for searched.
    const resent = stage();
    resent.store.fundingTx = '00';
    await resent.look(START + 5);
    resent.store.fundingTx = undefined;
    await resent.look(START + 9);
    expect(resent.calls).toContain('spender f0:1 288');

    for (const [status, blocks] of [
      ['opening', 0],
      ['funding', 6],
    ] as const) {
      const young = stage({ channel: { status }, state: { status } });
      young.store.fundingTx = undefined;
      await young.look();
      expect(young.calls).toContain(`spender f0:1 ${blocks}`);
    }
  });

  it('takes a spend that the node does not tell of for one that waits, where a block has none', async () => {
    const { chain, look } = stage();
    chain.fails.add('spender');
    chain.coinInBlocks = {};
    expect(await look()).toMatchObject({ spendDepth: 0, isOurs: false });
    chain.coinInBlocks = undefined;
    expect(await look()).toMatchObject({ spendDepth: undefined });
  });

  it('asks for a fee rate where one may be needed: for six blocks, for the next where it is urgent', async () => {
    const { chain, look, calls } = stage();
    chain.coin = { confirmations: 9 };
    const from = EXPIRY - MARGINS.broadcastBlocks;
    expect((await look(from - 1)).satPerKvb).toBe(0);
    expect((await look(from - 1, true)).satPerKvb).toBe(2346);
    expect(calls).toContain('fee 6');
    expect((await look(from)).satPerKvb).toBe(2346);
    expect(calls).toContain('fee 2');
    chain.satPerKvb = 5;
    expect((await look(from)).satPerKvb).toBe(100);
  });

  it('asks for a conflict of the funding while that was never deep, or one had ended it', async () => {
    const conflictOf = async (status: string, reason = '', isSeen = false) => {
      const { look, chain, store } = stage({ channel: { status }, state: { status, reason } });
      const inputs = [{ txid: 'cc'.repeat(32), vout: 0 }];
      store.assembled = { funding: { txid: FUNDING_TXID, inputs } } as never;
      store.fundingTx = 'aa';
      chain.spent = { txid: '77'.repeat(32), confirmations: 0 };
      if (isSeen) chain.coin = { confirmations: 1 };
      const { conflictDepth, canResend } = await look();
      return [conflictDepth, canResend];
    };
    expect(await conflictOf('opening')).toEqual([0, false]);
    expect(await conflictOf('funding')).toEqual([0, false]);
    expect(await conflictOf('closed', SPENT_ELSEWHERE)).toEqual([0, false]);
    expect(await conflictOf('closed', 'alone')).toEqual([undefined, true]);
    expect(await conflictOf('open', SPENT_ELSEWHERE)).toEqual([undefined, true]);
    expect(await conflictOf('funding', '', true)).toEqual([undefined, true]);
  });

  it('by force says so', async () => {
    const { look, seen } = stage();
    await look(START + 5, true);
    expect(seen[0]).toMatchObject({ type: 'close_alone', height: START + 5 });
    const { watch, seen: other } = stage();
    await watch.look(TIP(START));
    expect(other[0]).toMatchObject({ type: 'tip' });
  });

  it('is done until the channel is over, and not before it is there', async () => {
    const cases: Parameters<typeof stage>[0][] = [
      { state: { status: 'failed' } },
      { state: { watch: { ...new Life(optionsFor('miner')).state.watch, isOver: true } } },
    ];
    for (const each of cases) {
      const { watch, seen, calls } = stage(each);
      await watch.look(TIP(START));
      await watch.lookByClock(START);
      expect([seen, calls]).toEqual([[], []]);
    }
    const none = stage();
    none.store.channel = undefined;
    await none.watch.look(TIP(START));
    await none.watch.lookByClock(START);
    expect(none.calls).toEqual([]);
    const closed = stage({ state: { status: 'closed' } });
    await closed.look();
    expect(closed.seen).toHaveLength(1);
  });

  it('sends the funding and looks again once, without sending it twice', async () => {
    const { chain, look, store, due, seen, calls } = stage({ channel: { status: 'funding' } });
    store.fundingTx = 'aa';
    due.push([{ type: 'send_funding' } as never]);
    await look();
    expect(seen.map(({ view }) => view.canResend)).toEqual([true, false]);
    expect(calls.filter((call) => call.startsWith('broadcast'))).toEqual(['broadcast aa']);
    chain.fails.add('broadcast');
    due.push([{ type: 'send_funding' } as never]);
    await look();
    expect(seen).toHaveLength(4);
  });
});

it('the output that pays a script is the first of it, or none', () => {
  const other = Uint8Array.of(0x51);
  const transaction = new Transaction();
  transaction.addOutput(other, 1n);
  for (const value of [2n, 3n]) transaction.addOutput(CLOSE.outs[0]!.script, value);
  expect(outputOf(transaction, CLOSE.outs[0]!.script)).toBe(1);
  expect(outputOf(transaction, other)).toBe(0);
  expect(outputOf(transaction, Uint8Array.of(0x52))).toBe(-1);
});

describe('where no node answers', () => {
  it('what was last seen is told again, at the height of the clock', async () => {
    const base = new Life(optionsFor('miner')).state.watch;
    const expected = {
      unspent: [1, undefined],
      spent_in_mempool: [undefined, 0],
      spent_in_block: [undefined, 1],
      missing: [undefined, undefined],
    } as const;
    for (const [outputStatus, [coinDepth, spendDepth]] of Object.entries(expected)) {
      const { watch, chain, seen } = stage({ state: { watch: { ...base, outputStatus } } });
      chain.fails.add('txOut');
      await watch.lookByClock(START + 7);
      expect(seen[0]).toMatchObject({ type: 'tip', height: START + 7 });
      expect(seen[0]!.view).toMatchObject({ coinDepth, spendDepth, canResend: false, isOurs: false });
      expect(seen[0]!.view).toMatchObject({ refundVsize: 130 });
      expect(seen[0]!.view.satPerKvb).toBeGreaterThan(0);
    }
  });

  it('is no matter where it does: the view is what it says', async () => {
    const { watch, chain, seen } = stage();
    chain.coin = { confirmations: 3 };
    await watch.lookByClock(START + 7);
    expect(seen[0]!.view).toMatchObject({ coinDepth: 3, satPerKvb: 2346, canResend: false });
  });
});

describe('what is due', () => {
  const run = async (staged: ReturnType<typeof stage>, ...effects: object[]): Promise<void> => {
    staged.due.push(effects as never);
    await staged.look();
  };

  it('is done in order: the own close is sent, a side closes or refunds', async () => {
    const staged = stage({ channel: { closeTx: CLOSE.toHex() } });
    await run(staged, { type: 'send_close' }, { type: 'close_alone' }, { type: 'refund' });
    expect(staged.calls).toContain(`broadcast ${CLOSE.toHex()}`);
    expect(staged.performed).toEqual(['close_alone', 'refund']);
    expect(staged.seen).toHaveLength(1);
    expect(staged.watch.refusal).toBeUndefined();
  });

  it('holds nothing up where it only speeds something up; a close that fails does', async () => {
    const staged = stage();
    for (const type of ['pay_child', 'push_funding']) {
      staged.chain.fails.add(type);
      await run(staged, { type });
    }
    expect(staged.performed).toEqual(['pay_child', 'push_funding']);
    staged.chain.fails.add('close_alone');
    await expect(run(staged, { type: 'close_alone' })).rejects.toBe(GONE);
  });

  it('is the own coins of a funding taken back, at the fee that was decided', async () => {
    const staged = stage();
    const changeScript = CLOSE.outs[0]!.script;
    Object.assign(staged.store, {
      assembled: { funding },
      opening: { open: { funding: { changeScript } } },
    });
    staged.chain.coin = { confirmations: 1 };
    await run(staged, { type: 'cancel_funding', feeSat: 500n });
    const sent = staged.calls.find((call) => call.startsWith('broadcast '))!;
    const own = funding.inputs.filter(({ role }) => role === 'miner');
    const inSat = own.reduce((sum, { valueSat }) => sum + valueSat, 0n);
    expect(Transaction.fromHex(sent.slice('broadcast '.length)).outs).toEqual([
      { script: changeScript, value: inSat - 500n },
    ]);
  });

  it('keeps the error of the last broadcast until one succeeds', async () => {
    const { watch, chain, calls, warnings } = stage();
    chain.fails.add('broadcast');
    await watch.broadcast('aa');
    expect(watch.refusal).toBe(GONE);
    expect(warnings).toHaveLength(1);
    chain.fails.clear();
    await watch.broadcastPackage('aa', 'bb');
    expect(watch.refusal).toBeUndefined();
    expect(calls).toContain('package aa,bb');
    chain.fails.add('package');
    await watch.broadcastPackage('aa', 'bb');
    expect(watch.refusal).toBe(GONE);
  });

  it('is on disk where nothing is watched any more, and never in the way where that fails', async () => {
    const staged = stage();
    await run(staged, { type: 'final' }, { type: 'reopened' });
    expect(await staged.ledger.get(WATCHED_KIND, 'c0')).toBeUndefined();
    await run(staged, { type: 'over' });
    expect(await staged.ledger.get(WATCHED_KIND, 'c0')).toBeDefined();
    const broken = stage();
    broken.ledger.failNext(new CodedError('ledger_io', 'full'));
    await run(broken, { type: 'over' }, { type: 'refund' });
    expect(broken.performed).toEqual(['refund']);
  });

  it('of a funding that the node refuses is not said where another knows it, and no error', async () => {
    const { watch, chain, store, calls, warnings } = stage({ channel: { status: 'funding' } });
    await watch.broadcastFunding();
    expect(calls).toEqual([]);
    store.fundingTx = 'aa';
    chain.broadcast = async () => {
      throw new CodedError('tx_refused', 'known');
    };
    await watch.broadcastFunding();
    expect(warnings).toHaveLength(1);
    for (const channel of [{ status: 'open' }, undefined]) {
      store.channel = channel;
      await watch.broadcastFunding();
    }
    expect(warnings).toHaveLength(1);
    chain.broadcast = async () => {
      throw GONE;
    };
    await expect(watch.broadcastFunding()).rejects.toBe(GONE);
  });
});
