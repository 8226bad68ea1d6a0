import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import type { Spender } from '../../src/chain/source.ts';
import { makerContributionSat, minerContributionSat } from '../../src/channel/amounts.ts';
import { cancelVsize, type FundingRole, signFundingInputs } from '../../src/channel/funding.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { FundingCancel } from '../../src/settlement/funding-cancel.ts';
import type { FundingWallet } from '../../src/settlement/funding-wallet.ts';
import { makerSigner, minerSigner, PAYOUTS } from '../channel/fixtures.ts';
import { funding, terms } from '../channel/psbt-fixtures.ts';

const SIGNERS = { maker: makerSigner, miner: minerSigner };
const CHANGE = { maker: PAYOUTS.p2wpkh('maker back'), miner: PAYOUTS.p2tr('miner back') };
const TIP = (height: number) => ({ height, hash: '00'.repeat(32) }) as never;
const sideOf = (role: FundingRole) => ({ funding: { changeScript: CHANGE[role] } });

function stage(role: FundingRole, changes: object = {}, others: object = {}) {
  const asked: { readonly txid: string; readonly blocks: number }[] = [];
  const chain = {
    /** What spends each coin, by its txid. */
    spenders: new Map<string, Spender>(),
    unspent: new Set<string>(),
    depths: new Map<string, number>(),
    fails: false,
    txOut: async (txid: string) => {
      if (chain.fails) throw new CodedError('chain_unreachable', 'gone');
      return chain.unspent.has(txid) ? {} : undefined;
    },
    spender: async (txid: string, _vout: number, blocks: number) => {
      asked.push({ txid, blocks });
      return chain.spenders.get(txid);
    },
    header: async (hash: string) => {
      const confirmations = chain.depths.get(hash);
      return confirmations === undefined ? undefined : { confirmations };
    },
  };
  const store = {
    contractId: 'c0',
    options: { role },
    terms,
    assembled: { funding },
    opening: { open: sideOf('miner'), accept: sideOf('maker') },
    fundingTx: undefined,
    ...changes,
  };
  const deps = { chain, signer: SIGNERS[role], log: silentLogger, ...others };
  return { cancel: new FundingCancel(store as never, deps as never), chain, asked };
}

const [FIRST, SECOND] = funding.inputs.map(({ txid }) => txid) as [string, string];
const spender = (confirmations: number, blockHash?: string, txid = '77'.repeat(32)): Spender =>
  ({ txid, confirmations, ...(blockHash === undefined ? {} : { blockHash }) }) as Spender;

describe.each(['maker', 'miner'] as const)('the coins of a %s', (role) => {
  it('go back to its own change, signed, less the fee', async () => {
    const { cancel } = stage(role);
    const transaction = Transaction.fromHex(await cancel.spend(500n));
    const own = funding.inputs.filter((input) => input.role === role);
    const inSat = own.reduce((sum, { valueSat }) => sum + valueSat, 0n);
    expect(transaction.outs).toEqual([{ script: CHANGE[role], value: inSat - 500n }]);
    expect(transaction.ins).toHaveLength(own.length);
    for (const { witness } of transaction.ins) {
      expect(toHex(witness[1]!)).toBe(toHex(SIGNERS[role].publicKey('wallet')));
    }
  });

  it('are asked of an external wallet at one fee after the other, and leave by what was signed', async () => {
    const answered = new Set<string>();
    const asked: string[] = [];
    const wallet: Pick<FundingWallet, 'sign'> = {
      sign: async ({ contractId }, cancel, side) => {
        if (asked.at(-1) !== contractId) asked.push(contractId);
        if (!answered.has(contractId)) throw new CodedError('funding_unsigned');
        return signFundingInputs(cancel, side, SIGNERS[side]);
      },
    };
    const { cancel } = stage(role, {}, { wallet });
    await expect(cancel.spend(500n)).rejects.toMatchObject({ code: 'funding_unsigned' });
    // Blocks ask for more meanwhile: a file that changes under somebody's hands is never signed.
    await expect(cancel.spend(750n)).rejects.toMatchObject({ code: 'funding_unsigned' });
    expect(asked).toEqual(['c0.cancel-500']);
    answered.add('c0.cancel-500');
    const first = await cancel.spend(900n);
    expect(await cancel.spend(900n)).toBe(first);
    expect(await cancel.spend(1_200n)).toBe(first);
    expect(asked).toEqual(['c0.cancel-500', 'c0.cancel-900']);
    answered.add('c0.cancel-900');
    expect(await cancel.spend(1_200n)).not.toBe(first);
  });

  it('are weighed against the funding that they must beat', () => {
    const own = funding.inputs.filter((input) => input.role === role).length;
    const vsize = (hex: string): number => Transaction.fromHex(hex).virtualSize();
    const known = {
      vsize: cancelVsize(own, CHANGE[role]),
      contributionSat: role === 'miner' ? minerContributionSat(terms) : makerContributionSat(terms),
      fundingFeeSat: funding.feeSat,
    };
    expect(stage(role).cancel.details()).toEqual({
      cancel: { ...known, fundingVsize: vsize(funding.hex) },
    });
    const other = new Transaction();
    other.addInput(new Uint8Array(32).fill(1), 0);
    other.addOutput(CHANGE.maker, 1n);
    const { cancel } = stage(role, { fundingTx: other.toHex() });
    expect(cancel.details().cancel!.fundingVsize).toBe(vsize(other.toHex()));
  });

  it('are no matter before both agreed on the opening', () => {
    expect(stage(role, { assembled: undefined }).cancel.details()).toEqual({});
    expect(stage(role, { opening: undefined }).cancel.details()).toEqual({});
    expect(stage(role, { opening: { open: sideOf('miner') } }).cancel.details()).toEqual({});
  });
});

describe('a coin of the funding that is spent elsewhere', () => {
  it('is told with the depth of its spend, the deepest of several', async () => {
    const { cancel, chain } = stage('miner');
    expect(await cancel.conflictDepth(TIP(100))).toBeUndefined();
    chain.spenders.set(FIRST, spender(0));
    expect(await cancel.conflictDepth(TIP(100))).toBe(0);
    chain.spenders.set(SECOND, spender(3, 'b3'));
    expect(await cancel.conflictDepth(TIP(101))).toBe(3);
    chain.depths.set('b3', -1);
    chain.spenders.set(FIRST, spender(5, 'b5'));
    expect(await cancel.conflictDepth(TIP(102))).toBe(5);
  });

  it('is neither one that is unspent nor one that the funding itself spends', async () => {
    const { cancel, chain } = stage('miner');
    chain.spenders.set(FIRST, spender(2, 'b2', funding.txid));
    expect(await cancel.conflictDepth(TIP(100))).toBeUndefined();
    chain.spenders.set(FIRST, spender(2, 'b2'));
    chain.unspent.add(FIRST);
    expect(await cancel.conflictDepth(TIP(100))).toBeUndefined();
    chain.unspent.clear();
    expect(await cancel.conflictDepth(TIP(100))).toBe(2);
  });

  it('is not looked for again while the block of its spend stays, and is where that is gone', async () => {
    const { cancel, chain, asked } = stage('miner');
    chain.spenders.set(FIRST, spender(1, 'b1'));
    expect(await cancel.conflictDepth(TIP(100))).toBe(1);
    const looked = asked.length;
    chain.depths.set('b1', 4);
    expect(await cancel.conflictDepth(TIP(103))).toBe(4);
    expect(asked).toHaveLength(looked);
    chain.spenders.set(FIRST, spender(2, 'b2'));
    chain.depths.set('b1', 0);
    expect(await cancel.conflictDepth(TIP(104))).toBe(2);
    expect(asked.length).toBeGreaterThan(looked);
    // The node knows nothing of that block.
    chain.spenders.clear();
    expect(await cancel.conflictDepth(TIP(104))).toBeUndefined();
  });

  it('is looked for in all blocks at first, then in those since, and again some', async () => {
    const { cancel, asked } = stage('miner');
    await cancel.conflictDepth(TIP(100));
    const all = asked.at(-1)!.blocks;
    await cancel.conflictDepth(TIP(100));
    const again = asked.at(-1)!.blocks;
    await cancel.conflictDepth(TIP(103));
    expect(asked.at(-1)!.blocks).toBe(again + 3);
    expect(again).toBeLessThan(all);
    cancel.seen(TIP(110));
    await cancel.conflictDepth(TIP(111));
    expect(asked.at(-1)!.blocks).toBe(again + 1);
  });

  it('is forgotten once the funding is seen', async () => {
    const { cancel, chain } = stage('miner');
    chain.spenders.set(FIRST, spender(1, 'b1'));
    chain.depths.set('b1', 9);
    expect(await cancel.conflictDepth(TIP(100))).toBe(1);
    cancel.seen(TIP(101));
    chain.spenders.clear();
    expect(await cancel.conflictDepth(TIP(101))).toBeUndefined();
  });

  it('is not known where the node does not tell, nor before there is a funding', async () => {
    const { cancel, chain } = stage('miner');
    chain.fails = true;
    expect(await cancel.conflictDepth(TIP(100))).toBeUndefined();
    expect(await stage('miner', { assembled: undefined }).cancel.conflictDepth(TIP(1))).toBeUndefined();
  });
});
