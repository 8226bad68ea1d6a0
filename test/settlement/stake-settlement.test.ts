import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { FINAL_DEPTH } from '../../src/chain/watcher.ts';
import {
  type BondSpend,
  bondCoins,
  finalizeBondSpend,
  signAndFinalizeBondReturn,
  signBondSpend,
} from '../../src/channel/bonds.ts';
import { buildState } from '../../src/channel/states.ts';
import { AWARD_KIND, awardId, REMAINS_KIND } from '../../src/settlement/records.ts';
import { EH, makeBonds, makeTerms } from '../channel/fixtures.ts';
import { bondedTerms, CSV, SIGNERS, setUp, type Where, WORK } from './stake-stage.ts';

describe('stakes that are none', () => {
  it('ask nothing of a chain, and are over', async () => {
    for (const terms of [makeTerms(), bondedTerms('forfeit_to_mm')]) {
      const { settlement, look, asked } = setUp('miner', terms);
      expect(settlement.isOver).toBe(true);
      expect(settlement.needsPeer).toBe(false);
      await look(1);
      expect(asked).toEqual([]);
    }
  });

  it('are not looked for before there is a channel, nor where it failed, nor while it is open', async () => {
    for (const change of [
      { assembled: undefined },
      { channel: undefined },
      { status: 'opening' },
      { status: 'failed' },
      { status: 'funding' },
      { status: 'open' },
    ]) {
      const { status, ...more } = { status: 'closing', ...change };
      const { settlement, store, look, asked, close } = setUp('miner', bondedTerms('auditor'), { status });
      Object.assign(store, more);
      close(CSV);
      await look(1);
      expect(asked).toEqual([]);
      expect([settlement.isOver, settlement.bonds]).toEqual([false, undefined]);
    }
  });
});

describe('a bond', () => {
  it.each(['miner', 'maker'] as const)(
    'is taken back by the %s once its delay is over, and no other',
    async (role) => {
      const { params, look, close, coinOf, asked } = setUp(role, bondedTerms('auditor'));
      close(CSV - 1);
      expect(await look(1)).toEqual([]);
      close(CSV);
      const { hex } = signAndFinalizeBondReturn(params, coinOf(role), 2_346, SIGNERS[role]);
      expect(await look(2)).toEqual([hex]);
      expect(asked).toContain('fee 6');
      // Until a block has it.
      expect(await look(3)).toEqual([hex]);
    },
  );

  it('of both sides together is never taken alone', async () => {
    const { settlement, look, close } = setUp('miner', bondedTerms('hostage'));
    expect(settlement.needsPeer).toBe(true);
    close(9_999);
    expect(await look(1)).toEqual([]);
    expect(settlement.needsPeer).toBe(true);
  });

  it('stays where it is while somebody moves it', async () => {
    const { look, close, place, coinOf } = setUp('miner', bondedTerms('auditor'));
    close(CSV);
    const { txid, vout } = coinOf('miner');
    place(txid, vout, 'spending', CSV);
    expect(await look(1)).toEqual([]);
  });

  it('that its owner takes back is bid more for once it waits for two blocks, by half of it at the most', async () => {
    const { look, close, place, coinOf, node, params } = setUp('miner', bondedTerms('auditor'));
    close(CSV);
    const coin = coinOf('miner');
    const [first] = await look(100);
    place(coin.txid, coin.vout, 'spending', CSV);
    const waits = (hex: string): void => {
      node.spender = { hex, confirmations: 0, txid: Transaction.fromHex(hex).getId() };
    };
    waits(first!);
    const feeOf = (hex: string) => coin.valueSat - Transaction.fromHex(hex).outs[0]!.value;
    const fees = [feeOf(first!)];
    for (let height = 101; height < 130; height += 1) {
      const [next] = await look(height);
      if (next === undefined) continue;
      fees.push(feeOf(next));
      waits(next);
    }
    for (const [index, fee] of fees.slice(1, 5).entries())
      expect(Number(fee) / Number(fees[index]!)).toBeCloseTo(1.5, 1);
    expect(fees.at(-1)!).toBeLessThanOrEqual(coin.valueSat / 2n);
    expect(fees.at(-1)! * 2n).toBeGreaterThan((coin.valueSat * 9n) / 10n);
    // A start begins with what waits, and another one's spend is left alone.
    const other = Transaction.fromHex(node.spender!.hex);
    other.outs[0]!.script = params.makerPayoutScript;
    waits(other.toHex());
    expect(await look(200)).toEqual([]);
  });

  it('that was awarded is sent as it is stored, whoever owns it', async () => {
    for (const owner of ['miner', 'maker'] as const) {
      const { look, close, ledger, params, coinOf } = setUp('miner', bondedTerms('auditor'));
      close(1);
      const coin = coinOf(owner);
      const spend: BondSpend = { coin, payee: 'maker', feeRateSatPerKvb: 2_000 };
      const { hex: body } = finalizeBondSpend(params, spend, {
        miner: signBondSpend(params, spend, 'miner', SIGNERS.miner),
        maker: signBondSpend(params, spend, 'maker', SIGNERS.maker),
      });
      await ledger.append([{ type: 'put', kind: AWARD_KIND, id: awardId(params.contractId, coin), body }]);
      expect(await look(1)).toEqual([body]);
      close(CSV);
      expect((await look(2)).includes(body)).toBe(true);
      expect(await look(3)).toHaveLength(owner === 'miner' ? 1 : 2);
    }
  });

  it('is gone once a block has spent it for long enough; both, and the channel is over', async () => {
    const { settlement, look, close, coinOf, place, store, remains, asked } = setUp(
      'miner',
      bondedTerms('auditor'),
    );
    close(1);
    await look(100);
    for (const owner of ['miner', 'maker'] as const)
      place(coinOf(owner).txid, coinOf(owner).vout, undefined);
    await look(100);
    await look(100 + FINAL_DEPTH - 2);
    expect(settlement.isOver).toBe(false);
    // Not before the close itself is final.
    await look(100 + FINAL_DEPTH - 1);
    expect([settlement.isOver, await remains()]).toEqual([false, undefined]);
    store.channel!['status'] = 'closed';
    await look(100 + FINAL_DEPTH);
    expect([settlement.isOver, await remains()]).toEqual([true, '{"over":true}']);
    await look(200);
    expect(asked).toEqual([]);
  });

  it('that is still there keeps the channel, however long the other one is gone', async () => {
    const { settlement, look, close, coinOf, place } = setUp('miner', bondedTerms('auditor'), {
      status: 'closed',
    });
    close(1);
    await look(100);
    place(coinOf('miner').txid, coinOf('miner').vout, undefined);
    await look(101);
    await look(101 + 10 * FINAL_DEPTH);
    expect(settlement.isOver).toBe(false);
  });

  it('that is back after a reorganisation counts anew', async () => {
    const { settlement, look, close, coinOf, place, store } = setUp('miner', bondedTerms('auditor'));
    store.channel!['status'] = 'closed';
    close(1);
    await look(100);
    const gone = (where: Where): void => {
      for (const owner of ['miner', 'maker'] as const) place(coinOf(owner).txid, coinOf(owner).vout, where);
    };
    gone(undefined);
    await look(100);
    gone('unspent');
    await look(101);
    gone(undefined);
    await look(102);
    await look(102 + FINAL_DEPTH - 2);
    expect(settlement.isOver).toBe(false);
    await look(102 + FINAL_DEPTH - 1);
    expect(settlement.isOver).toBe(true);
  });

  it('is looked for again where its close left the chain', async () => {
    const { settlement, look, close, coins, place, node } = setUp('miner', bondedTerms('auditor'));
    close(1);
    await look(100);
    expect(settlement.bonds).toEqual(coins);
    for (const { txid, vout } of coins) place(txid, vout, undefined);
    node.confirmations = 0;
    await look(101);
    expect(settlement.bonds).toBeUndefined();
    node.confirmations = 1;
    close(1);
    await look(102);
    expect(settlement.bonds).toEqual(coins);
  });

  it('needs the other side no more once all are gone, hostage or not', async () => {
    const { settlement, look, close, coinOf, place, store } = setUp('miner', bondedTerms('hostage'));
    close(1);
    await look(100);
    expect(settlement.needsPeer).toBe(true);
    place(coinOf('maker').txid, coinOf('maker').vout, undefined);
    await look(101);
    expect(settlement.needsPeer).toBe(true);
    place(coinOf('miner').txid, coinOf('miner').vout, undefined);
    await look(102);
    expect(settlement.needsPeer).toBe(false);
    store.channel!['status'] = 'closed';
    await look(102 + FINAL_DEPTH);
    expect([settlement.isOver, settlement.needsPeer]).toEqual([true, false]);
    expect(setUp('miner', bondedTerms('auditor')).settlement.needsPeer).toBe(false);
  });

  it('whose spend is refused is tried again, and one that cannot be sent stops nothing', async () => {
    const { look, close, coins, node, lines } = setUp('miner', bondedTerms('auditor'));
    close(CSV);
    node.refusal = 'tx_refused';
    expect(await look(1)).toEqual([]);
    const [coin] = coins;
    const fields = { what: `bond_return-${coin!.txid.slice(0, 8)}`, detail: 'tx_refused: said the node' };
    expect(lines.at(-1)).toMatchObject(['warn', fields, 'refused; tried again']);
    node.refusal = 'chain_unreachable';
    await look(2);
    expect(lines.at(-1)).toMatchObject(['warn', { code: 'chain_unreachable' }, 'not yet taken back']);
    node.refusal = undefined;
    expect(await look(3)).toHaveLength(1);
    expect(lines.at(-1)).toMatchObject(['info', { txid: 'txid' }, 'took back what was left']);
  });

  it('of a contract that is not there is left', async () => {
    const { look, close, store } = setUp('miner', bondedTerms('auditor'));
    store.contract = undefined;
    close(CSV);
    expect(await look(1)).toEqual([]);
  });
});

describe('the bonds of a close', () => {
  it('are found at the rung that is in a block, without a search', async () => {
    const { settlement, look, params, place, asked } = setUp('miner', bondedTerms('auditor'));
    const coins = bondCoins(params, WORK, 2);
    for (const { txid, vout } of coins) place(txid, vout, 'unspent', 1);
    await look(100);
    expect(settlement.bonds).toEqual(coins);
    expect(asked.filter((question) => question.startsWith('spender'))).toEqual([]);
  });

  it.each(['auditor', 'hostage'] as const)(
    'of another state are found by their scripts, with their owners: %s',
    async (mode) => {
      const { settlement, look, params, node, asked } = setUp('miner', bondedTerms(mode));
      const other = 100n * EH;
      const hex = buildState(params, other, 1).toHex();
      node.spender = { hex, confirmations: 0 };
      await look(100);
      expect(settlement.bonds).toBeUndefined();
      expect(asked).toContain(`spender ${params.funding.txid.slice(0, 6)}:${params.funding.vout} 144`);
      node.spender = { hex, confirmations: 1 };
      await look(101);
      expect(settlement.bonds).toEqual(bondCoins(params, other, 1));
    },
  );

  it('of a hostage that is alone belongs to whose was larger', async () => {
    for (const [makerBondSat, collateralSat, owner] of [
      [1_000n, 60_000n, 'miner'],
      [60_000n, 1_000n, 'maker'],
    ] as const) {
      const terms = makeTerms({ bonds: makeBonds('hostage', { makerBondSat, collateralSat }) });
      const { settlement, look, params, node } = setUp('miner', terms);
      // The small one has vested by then.
      const hex = buildState(params, 900n * EH, 0).toHex();
      node.spender = { hex, confirmations: 1 };
      await look(100);
      expect(settlement.bonds).toEqual(bondCoins(params, 900n * EH, 0));
      expect(settlement.bonds!.map((coin) => coin.owner)).toEqual([owner]);
    }
  });

  it('are searched for once the channel is closed but one time, and before at each look', async () => {
    const { look, asked, store } = setUp('miner', bondedTerms('auditor'));
    const searches = (): number => asked.filter((question) => question.startsWith('spender')).length;
    await look(100);
    expect(searches()).toBe(1);
    await look(101);
    expect(searches()).toBe(1);
    store.channel!['status'] = 'closed';
    await look(102);
    expect(searches()).toBe(0);
    const fresh = setUp('miner', bondedTerms('auditor'), { status: 'closed' });
    fresh.store.last = undefined;
    await fresh.look(100);
    expect(fresh.asked.filter((question) => !question.startsWith('spender'))).toEqual([]);
    expect(fresh.asked).toHaveLength(1);
  });

  it('are none where all has vested', async () => {
    const { settlement, look, node, params, remains } = setUp('miner', bondedTerms('auditor'), {
      ...{ status: 'closed', workHashes: 1000n * EH, n: 9 },
    });
    node.spender = { hex: buildState(params, 1000n * EH, 0).toHex(), confirmations: 1 };
    await look(100);
    expect(settlement.bonds).toEqual([]);
    expect([settlement.isOver, await remains()]).toEqual([true, '{"over":true}']);
  });
});

describe('the ledger', () => {
  it('that says all is over is believed; one that cannot be read is no hindrance', async () => {
    const known = setUp('miner', bondedTerms('auditor'));
    const id = known.params.contractId;
    await known.ledger.append([{ type: 'put', kind: REMAINS_KIND, id, body: '{"over":true}' }]);
    known.close(CSV);
    expect(await known.look(1)).toEqual([]);
    expect([known.settlement.isOver, known.asked.length]).toEqual([true, 0]);

    const blind = setUp('miner', bondedTerms('auditor'));
    blind.ledger.get = () => Promise.reject(new CodedError('ledger_io', 'gone'));
    blind.close(CSV);
    expect(await blind.look(1)).toHaveLength(1);
    const failure = { kind: AWARD_KIND, code: 'ledger_io', detail: 'ledger_io: gone' };
    expect(blind.lines).toContainEqual([
      'error',
      { contract: blind.params.contractId, ...failure },
      'the ledger cannot be read; gone on without',
    ]);
  });

  it('that takes no record of the end is told of, and that is the end all the same', async () => {
    const { settlement, look, ledger, lines, node, params } = setUp('miner', bondedTerms('auditor'), {
      ...{ status: 'closed', workHashes: 1000n * EH, n: 9 },
    });
    node.spender = { hex: buildState(params, 1000n * EH, 0).toHex(), confirmations: 1 };
    ledger.failNext(new CodedError('overload', 'full'));
    await look(100);
    expect(settlement.isOver).toBe(true);
    const fields = { contract: params.contractId, code: 'overload' };
    expect(lines).toMatchObject([['error', fields, 'not recorded; done all the same']]);
  });
});
