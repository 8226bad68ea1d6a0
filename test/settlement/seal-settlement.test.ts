import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { fromHex, reversed, toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { rateOf } from '../../src/chain/fee-rate.ts';
import { FINAL_DEPTH } from '../../src/chain/watcher.ts';
import { channelFacts } from '../../src/channel/params.ts';
import {
  signAndFinalizeSealClaim,
  signAndFinalizeSealRefund,
  signSealClaim,
} from '../../src/channel/seal.ts';
import { refundVsize } from '../../src/channel/sizes.ts';
import { sealExpiryHeight } from '../../src/contract/bond-terms.ts';
import { makerSigner, makeTerms, minerSigner, SEAL, seedOf } from '../channel/fixtures.ts';
import { at, bondedTerms, CSV, type Role, setUp, type Where, WORK } from './stake-stage.ts';

describe('the seal', () => {
  const terms = makeTerms({ seal: SEAL });
  const EXPIRY = terms.expiryHeight;
  const END = sealExpiryHeight(terms);
  const sealed = (role: Role, status = 'open') => {
    const all = setUp(role, terms, { status });
    const { txid } = all.params.funding;
    const { vout } = all.params.seal!;
    const claim = signSealClaim(
      all.params,
      { n: 3, workHashes: WORK, shareRoot: seedOf('root') },
      minerSigner,
    );
    all.store.sealClaim = claim;
    const put = (where: Where): void => all.place(txid, vout, where);
    /** A spend that pays a script at its second output. */
    const spend = (scriptHex: string): string => {
      const transaction = new Transaction();
      transaction.addInput(reversed(fromHex(txid, 32)), vout);
      transaction.addOutput(fromHex('51'), 1n);
      transaction.addOutput(fromHex(scriptHex), 1n);
      return transaction.toHex();
    };
    const claimHex = signAndFinalizeSealClaim(all.params, claim, makerSigner).hex;
    const nextHex = toHex(all.params.seal!.nextScript);
    return { ...all, put, spend, claimHex, nextHex };
  };

  it('is intact while nothing spends it, and there is none before the funding is there', async () => {
    for (const status of ['opening', 'failed']) {
      const { look, put, asked } = sealed('miner', status);
      put('unspent');
      await look(END);
      expect(asked).toEqual([]);
    }
    const { settlement, look, put } = sealed('miner', 'funding');
    await look(1);
    expect(settlement.seal).toBe('none');
    put('unspent');
    await look(2);
    expect([settlement.seal, settlement.isOver]).toEqual(['intact', false]);
  });

  it('is taken back by the miner at its expiry, at a rate that leaves an output', async () => {
    const { look, put, params, node } = sealed('miner');
    put('unspent');
    expect(await look(END - 1)).toEqual([]);
    expect(await look(END)).toEqual([signAndFinalizeSealRefund(params, 2_346, minerSigner).hex]);
    node.rate = 1_000_000;
    // Half of it.
    const vsize = refundVsize(channelFacts(params).seal!.script, params.minerPayoutScript);
    const limit = rateOf(SEAL.sealSat / 2n, vsize);
    expect(await look(END)).toEqual([signAndFinalizeSealRefund(params, limit, minerSigner).hex]);
  });

  it('is claimed by the maker once the channel moves, or expires, and only with a claim', async () => {
    const open = sealed('maker');
    open.put('unspent');
    expect(await open.look(EXPIRY - 1)).toEqual([]);
    expect(await open.look(EXPIRY)).toEqual([open.claimHex]);
    for (const status of ['closing', 'closed']) {
      const moving = sealed('maker', status);
      moving.put('unspent');
      expect(await moving.look(1)).toEqual([moving.claimHex]);
      moving.store.sealClaim = undefined;
      expect(await moving.look(2)).toEqual([]);
    }
  });

  it('that waits to be spent is claimed unless that is the claim; and is known for what it is', async () => {
    const { settlement, look, put, spend, node, claimHex, nextHex, lines } = sealed('maker');
    put('spending');
    node.spender = { hex: spend(nextHex), confirmations: 0 };
    expect(await look(1)).toEqual([]);
    expect(settlement.seal).toBe('claimed');
    expect(lines).toEqual([]);
    node.spender = { hex: spend('52'), confirmations: 0 };
    expect(await look(2)).toEqual([claimHex]);
    expect(settlement.seal).toBe('lost');
    expect(lines).toContainEqual(['error', { contract: expect.any(String) }, 'the seal went elsewhere']);
    node.spender = undefined;
    await look(3);
    expect(settlement.seal).toBe('lost');
    put('unspent');
    await look(4);
    expect(settlement.seal).toBe('intact');
  });

  it('that a block spent is searched for once, and over when that is deep; anew after a reorganisation', async () => {
    const { settlement, look, put, spend, node, nextHex, asked, store, remains } = sealed(
      'miner',
      'closed',
    );
    node.spender = { hex: spend(nextHex), confirmations: 1 };
    put(undefined);
    await look(100);
    expect(settlement.seal).toBe('claimed');
    expect(asked.filter((question) => question.startsWith('spender'))).toHaveLength(1);
    await look(101);
    expect(asked.filter((question) => question.startsWith('spender'))).toEqual([]);
    put('unspent');
    await look(102);
    put(undefined);
    await look(103);
    await look(103 + FINAL_DEPTH - 2);
    expect(settlement.isOver).toBe(false);
    store.channel!['status'] = 'closing';
    await look(103 + FINAL_DEPTH - 1);
    expect(settlement.isOver).toBe(false);
    store.channel!['status'] = 'closed';
    await look(103 + FINAL_DEPTH);
    expect([settlement.isOver, await remains()]).toEqual([true, '{"over":true}']);
  });

  it('that cannot be looked at holds up no bond', async () => {
    const both = setUp('miner', bondedTerms('auditor', true));
    both.close(CSV);
    both.node.fails.add('spender');
    const looked = both.settlement.onTip(at(1)).then(() => 'resolved', codeOf);
    expect(await looked).toBe('chain_unreachable');
    expect(both.sent).toHaveLength(1);
    expect(both.settlement.isOver).toBe(false);
  });

  it('and the bonds are over only together', async () => {
    const { settlement, look, close, coins, place, params, store, node } = setUp(
      'maker',
      bondedTerms('auditor', true),
      { status: 'closed' },
    );
    close(1);
    place(params.funding.txid, params.seal!.vout, 'unspent');
    await look(100);
    for (const { txid, vout } of coins) place(txid, vout, undefined);
    await look(101);
    await look(101 + FINAL_DEPTH);
    expect(settlement.isOver).toBe(false);
    place(params.funding.txid, params.seal!.vout, undefined);
    node.spender = undefined;
    await look(200);
    await look(200 + FINAL_DEPTH - 1);
    expect(settlement.isOver).toBe(true);
    expect(store.contractId).toBe(params.contractId);
  });
});
