import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import type { ChainSource, TxOut } from '../../src/chain/source.ts';
import { fundingInputScript } from '../../src/channel/funding.ts';
import { makerKeysOf, minerKeysOf } from '../../src/channel/keys.ts';
import { isSchnorrSignature, nodeIdBytes } from '../../src/channel/signer.ts';
import { termsHash } from '../../src/contract/terms.ts';
import {
  assembleChannel,
  checkCoins,
  checkForeign,
  chooseFundingSide,
  identityOfSigner,
  outpointName,
  signTerms,
  verifyTermsSignature,
  walletScript,
} from '../../src/settlement/opening.ts';
import {
  code,
  makerSigner,
  makeTerms,
  minerSigner,
  PAYOUTS,
  SEAL,
  seedOf,
  strangerSigner,
} from '../channel/fixtures.ts';

const terms = makeTerms({ seal: SEAL });
const publicKeyHex = (signer: typeof minerSigner): string => toHex(signer.publicKey('wallet'));
const input = (name: string, valueSat: bigint, signer = minerSigner) => ({
  ...{ txid: toHex(seedOf(name)), vout: 1, valueSat },
  publicKeyHex: publicKeyHex(signer),
});

describe('the terms', () => {
  it('are signed by a node, and that is of no other terms and no other node', () => {
    const signature = signTerms(terms, minerSigner);
    const verdict = (of = terms, node = minerSigner, signed = signature): string =>
      code(() => verifyTermsSignature(of, toHex(nodeIdBytes(node)), signed));
    expect(verdict()).toBe('nothing thrown');
    expect(verdict(makeTerms())).toBe('bad_signature');
    expect(verdict(terms, makerSigner)).toBe('bad_signature');
    expect(verdict(terms, minerSigner, '11'.repeat(64))).toBe('bad_signature');
  });

  it('and the handshake are signed by the same identity', () => {
    const { nodeId, sign } = identityOfSigner(minerSigner);
    expect(nodeId).toBe(toHex(nodeIdBytes(minerSigner)));
    const digest = termsHash(terms);
    expect(isSchnorrSignature(digest, fromHex(nodeId, 32), sign(digest))).toBe(true);
  });
});

describe('a channel', () => {
  const open = {
    contractId: '',
    keys: minerKeysOf(minerSigner, terms),
    payoutScript: PAYOUTS.p2wpkh('miner payout'),
    funding: { inputs: [input('b', 20_000n)], changeScript: PAYOUTS.p2wpkh('miner change') },
  } as never as Parameters<typeof assembleChannel>[1];
  const accept = {
    keys: makerKeysOf(makerSigner, terms),
    payoutScript: PAYOUTS.p2wpkh('maker payout'),
    funding: {
      inputs: [input('a', 600_000n, makerSigner)],
      changeScript: PAYOUTS.p2wpkh('maker change'),
    },
    feeRateSatPerKvb: 5000,
    nextSealScript: PAYOUTS.p2wpkh('next seal'),
  } as never as Parameters<typeof assembleChannel>[2];

  it('is assembled of both halves, with the next seal exactly where its terms have one', () => {
    const { params, funding } = assembleChannel(terms, open, accept);
    expect(params.funding).toEqual({ txid: funding.txid, vout: funding.vout });
    expect(params.seal).toEqual({ vout: funding.sealVout, nextScript: PAYOUTS.p2wpkh('next seal') });
    const { nextSealScript: _, ...without } = accept as { nextSealScript?: unknown };
    expect(() => assembleChannel(terms, open, without as never)).toThrow('bad_terms: the maker names its');
    const bare = makeTerms();
    const keys = { keys: makerKeysOf(makerSigner, bare) };
    const opened = { ...(open as object), keys: minerKeysOf(minerSigner, bare) } as never;
    const accepted = { ...without, ...keys } as never;
    expect(assembleChannel(bare, opened, accepted).params).not.toHaveProperty('seal');
    const named = { ...(accepted as object), nextSealScript: PAYOUTS.p2wpkh('x') } as never;
    expect(code(() => assembleChannel(bare, opened, named))).toBe('bad_terms');
    // Whatever else is wrong with it is found before anything is signed.
    const sent = { ...(open as object), payoutScript: Uint8Array.of(0x6a) } as never;
    expect(code(() => assembleChannel(terms, sent, accept))).toBe('bad_terms');
  });
});

describe('coins', () => {
  const side = { inputs: [input('a', 5_000n), input('b', 6_000n)], changeScript: PAYOUTS.p2wpkh('change') };
  const [first] = side.inputs;
  const shown = (changes: Partial<TxOut> = {}): TxOut => ({
    ...{ valueSat: 5_000n, scriptHex: fundingInputScript(first!), confirmations: 1 },
    ...changes,
  });

  it('of the other side are there, confirmed, and as they were described', async () => {
    const verdict = (a: TxOut | undefined, b: TxOut | undefined = shown({ valueSat: 6_000n })) =>
      checkCoins(side, {
        txOut: async (txid: string) => (txid === first!.txid ? a : b),
      } as unknown as ChainSource).then(() => 'good', codeOf);
    expect(await verdict(shown())).toBe('good');
    expect(await verdict(undefined)).toBe('bad_funding');
    expect(await verdict(shown({ confirmations: 0 }))).toBe('bad_funding');
    expect(await verdict(shown({ valueSat: 5_001n }))).toBe('bad_funding');
    expect(await verdict(shown({ scriptHex: '51' }))).toBe('bad_funding');
    expect(await verdict(shown(), shown({ valueSat: 6_000n, confirmations: 0 }))).toBe('bad_funding');
  });

  it('of the own wallet are not brought by another', () => {
    expect(code(() => checkForeign(side, strangerSigner))).toBe('nothing thrown');
    expect(() => checkForeign(side, minerSigner)).toThrow(`the coin ${outpointName(first!)} is of the own`);
  });

  it('are chosen among those that are free, and change goes back to the wallet', async () => {
    const coins = [
      { txid: 'aa', vout: 0, valueSat: 50_000n, height: 1 },
      { txid: 'bb', vout: 1, valueSat: 60_000n, height: 1 },
    ];
    const asked: string[] = [];
    const chain = {
      utxos: async (scriptHex: string) => {
        asked.push(scriptHex);
        return coins;
      },
      txOut: async () => ({}),
    } as unknown as ChainSource;
    const choose = (...reserved: string[]) =>
      chooseFundingSide(
        { contributionSat: 40_000n, feeRateSatPerKvb: 1000, reserved: new Set(reserved) },
        { chain, signer: minerSigner },
      );
    const chosen = await choose();
    expect(chosen.changeScript).toEqual(walletScript(minerSigner));
    expect(asked).toEqual([toHex(walletScript(minerSigner))]);
    const [own, other] = coins.map(({ txid, vout, valueSat }) => ({
      ...{ txid, vout, valueSat },
      publicKeyHex: publicKeyHex(minerSigner),
    }));
    expect(chosen.inputs).toEqual([own]);
    expect((await choose('aa:0')).inputs).toEqual([other]);
    expect(await choose('aa:0', 'bb:1').then(() => 'chosen', codeOf)).toBe('insufficient_funds');
  });
});
