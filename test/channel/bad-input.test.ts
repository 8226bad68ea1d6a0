import { Psbt, Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { bondCoins, signAndFinalizeBondReturn, signBondSpend } from '../../src/channel/bonds.ts';
import { closeFeeBounds, signClose } from '../../src/channel/close.ts';
import { buildFunding, signFundingInputs } from '../../src/channel/funding.ts';
import { MonotoneSigner } from '../../src/channel/monotone-signer.ts';
import { type ChannelParams, channelParamsToJson, parseChannelParams } from '../../src/channel/params.ts';
import { exportPsbt, psbtFundingSignatures, readPsbt, signPsbt } from '../../src/channel/psbt.ts';
import { signAndFinalizeRefund } from '../../src/channel/refund.ts';
import { signAndFinalizeSealRefund, signSealClaim } from '../../src/channel/seal.ts';
import type { Signer } from '../../src/channel/signer.ts';
import { refundRequest, type SigningRequest } from '../../src/channel/signing-requests.ts';
import { signAndFinalizeState, signState } from '../../src/channel/states.ts';
import { checkTerms, parseTerms, type TermsV1or2, termsToJson } from '../../src/contract/terms.ts';
import { Outcomes } from '../base/outcomes.ts';
import {
  auditorSigner,
  code,
  EH,
  keysOf,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  PAYOUTS,
  SEAL,
  strangerSigner,
} from './fixtures.ts';
import {
  CountingSigner,
  claim,
  coin,
  funding,
  fundingAsked,
  genesisOf,
  HALF,
  last,
  params,
  REQUESTS,
  withInput,
  withTransaction,
} from './psbt-fixtures.ts';

/** The code of an attempt that is given a signer, and proof that the signer did nothing. */
function refused(inner: Signer, attempt: (signer: Signer) => unknown): string {
  const signer = new CountingSigner(inner);
  const found = code(() => attempt(signer));
  expect(signer.signed).toBe(0);
  return found;
}

/** Attempts that would sign if the parameters were sound. */
const SIGNINGS: readonly [string, Signer, (params: ChannelParams, signer: Signer) => unknown][] = [
  ['state', makerSigner, (of, signer) => signState(of, 1, HALF, signer)],
  [
    'monotone state',
    makerSigner,
    (of, signer) => new MonotoneSigner({ params: of }, { signer }).sign(0, 0n),
  ],
  ['finished state', minerSigner, (of, signer) => signAndFinalizeState(of, last, 0, signer)],
  ['close', makerSigner, (of, signer) => signClose(of, last, 700n, 'maker', signer, 'returned')],
  ['refund', makerSigner, (of, signer) => signAndFinalizeRefund(of, 5000, signer)],
  [
    'bond return',
    minerSigner,
    (of, signer) => signAndFinalizeBondReturn(of, bondCoins(of, HALF, 0)[0]!, 5000, signer),
  ],
  ['seal claim', minerSigner, (of, signer) => signSealClaim(of, claim, signer)],
  ['seal refund', minerSigner, (of, signer) => signAndFinalizeSealRefund(of, 1000, signer)],
];

describe('scripts that are not known', () => {
  const unknown = [
    `5220${'11'.repeat(32)}`,
    `6028${'11'.repeat(40)}`,
    `0010${'11'.repeat(16)}`,
    `0015${'11'.repeat(20)}`,
    `0021${'11'.repeat(32)}`,
    `5121${'11'.repeat(32)}`,
    `5114${'11'.repeat(20)}`,
    `5102${'4e73'}`,
    `76a914${'11'.repeat(20)}88ac`,
    `a914${'11'.repeat(20)}87`,
    '6a',
    '',
  ].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));

  it.each(SIGNINGS)('as a payout: no %s is signed', (_, signer, attempt) => {
    for (const script of unknown) {
      for (const name of ['minerPayoutScript', 'makerPayoutScript'] as const) {
        const of = makeParams({ [name]: script }, params.terms);
        expect(refused(signer, (counting) => attempt(of, counting))).toBe('bad_terms');
      }
    }
  });

  it('as change or the next seal: no funding and no claim', () => {
    for (const changeScript of unknown) {
      const side = { inputs: funding.inputs.slice(0, 1), changeScript };
      const { terms } = params;
      const request = { terms, keys: keysOf(terms), maker: side, miner: side, feeRateSatPerKvb: 5000 };
      expect(
        refused(makerSigner, (signer) => signFundingInputs(buildFunding(request), 'maker', signer)),
      ).toBe('bad_terms');
      const of = makeParams({ seal: { vout: 301, nextScript: changeScript } }, params.terms);
      expect(refused(minerSigner, (signer) => signSealClaim(of, claim, signer))).toBe('bad_terms');
    }
  });

  it('as versions of terms and channels: refused before anything is made of them', () => {
    for (const version of [0, 3, 255, '1', null, 1.5]) {
      expect(code(() => parseTerms({ ...termsToJson(params.terms), version }))).toBe('bad_terms');
      expect(code(() => parseChannelParams({ ...channelParamsToJson(params), version }))).toBe('protocol');
    }
    const { bonds } = termsToJson(params.terms) as { bonds: Record<string, unknown> };
    for (const bond_mode of ['oracle', 'none', 'AUDITOR', 0, null]) {
      const terms = { ...termsToJson(params.terms), bonds: { ...bonds, bond_mode } };
      expect(code(() => parseTerms(terms))).toBe('bad_terms');
    }
  });
});

describe('networks', () => {
  it('that are not known are not in terms, and terms of two networks are two contracts', () => {
    for (const network of ['bitcoin', 'testnet5', '', null, 1, '__proto__']) {
      expect(code(() => parseTerms({ ...termsToJson(params.terms), network }))).toBe('bad_terms');
    }
    const elsewhere = { ...params, terms: { ...params.terms, network: 'signet' as const } };
    for (const [, signer, attempt] of SIGNINGS) {
      expect(refused(signer, (counting) => attempt(elsewhere, counting))).toBe('unknown_channel');
    }
  });
});

describe('outputs of dust', () => {
  const unsound: readonly [string, Partial<TermsV1or2>][] = [
    ['a reserve of the maker below 1000 sats', { reserveSat: 999n }],
    ['a reserve of the miner that state 0 uses up', { minerReserveSat: 1000n, feeLadderSatPerKvb: [4000] }],
    ['a collateral below 1000 sats', { bonds: makeBonds('auditor', { collateralSat: 500n }) }],
    ['a bond of the maker below 1000 sats', { bonds: makeBonds('auditor', { makerBondSat: 500n }) }],
    ['a seal below its claim', { seal: { sealSat: 1000n, claimFeeRateSatPerKvb: 5000 } }],
    ['a seal below 1000 sats', { seal: { sealSat: 999n, claimFeeRateSatPerKvb: 100 } }],
  ];

  it.each(unsound)('%s: nothing is signed', (_, changes) => {
    const terms = makeTerms({ bonds: makeBonds('auditor'), seal: SEAL, ...changes });
    const of = makeParams({}, terms);
    for (const [, signer, attempt] of SIGNINGS) {
      expect(refused(signer, (counting) => attempt(of, counting))).toBe('bad_terms');
    }
  });

  it('no close, refund, bond or seal is signed that would leave one', () => {
    const poor = { ...last, workHashes: 0n };
    expect(
      refused(minerSigner, (signer) =>
        signClose(params, poor, closeFeeBounds(params).maxSat, 'miner', signer, 'miner_forfeits'),
      ),
    ).toBe('bad_amount');
    const least = { ...coin, valueSat: 1000n };
    expect(refused(minerSigner, (signer) => signAndFinalizeBondReturn(params, least, 6000, signer))).toBe(
      'bad_amount',
    );
    expect(
      refused(auditorSigner, (signer) =>
        signBondSpend(params, { coin: least, payee: 'miner', feeRateSatPerKvb: 6000 }, 'auditor', signer),
      ),
    ).toBe('bad_amount');
    expect(refused(minerSigner, (signer) => signAndFinalizeSealRefund(params, 15_000, signer))).toBe(
      'bad_amount',
    );
  });
});

describe('fee rates above the cap', () => {
  it('are in no ladder, funding, refund, close, bond or seal', () => {
    for (const rate of [10_000_001, 2 ** 53, Number.POSITIVE_INFINITY]) {
      expect(code(() => checkTerms(makeTerms({ feeLadderSatPerKvb: [1100, rate] })))).toBe('bad_terms');
      expect(code(() => checkTerms(makeTerms({ seal: { ...SEAL, claimFeeRateSatPerKvb: rate } })))).toBe(
        'bad_terms',
      );
      expect(refused(makerSigner, (signer) => signAndFinalizeRefund(params, rate, signer))).toBe(
        'bad_amount',
      );
      expect(refused(minerSigner, (signer) => signAndFinalizeBondReturn(params, coin, rate, signer))).toBe(
        'bad_amount',
      );
      expect(refused(minerSigner, (signer) => signAndFinalizeSealRefund(params, rate, signer))).toBe(
        'bad_amount',
      );
      const spend = { coin, payee: 'maker', feeRateSatPerKvb: rate } as const;
      expect(refused(makerSigner, (signer) => signBondSpend(params, spend, 'maker', signer))).toBe(
        'bad_amount',
      );
      expect(code(() => refundRequest(params, rate))).toBe('bad_amount');
    }
    const { maxSat } = closeFeeBounds(params);
    expect(
      refused(makerSigner, (signer) => signClose(params, last, maxSat + 1n, 'maker', signer, 'returned')),
    ).toBe('bad_amount');
  });
});

describe('a PSBT that is not what was asked for', () => {
  const ALL = [minerSigner, makerSigner, auditorSigner];
  const asked: readonly (readonly [string, SigningRequest])[] = [
    ...REQUESTS.map(({ request }) => [request.kind, request] as const),
    ['funding', fundingAsked],
  ];

  /** Refused alike to the signer, which signs nothing, and to who takes signatures from it. */
  function judge(request: SigningRequest, text: string): string {
    const found = code(() => readPsbt(request, text));
    for (const signer of ALL) expect(refused(signer, (by) => signPsbt(request, text, by))).toBe(found);
    return found;
  }

  it.each(asked)(
    '%s: an output, an input, a sequence or anything else of the transaction',
    (_, request) => {
      const text = exportPsbt(request, ALL);
      const changes: ((transaction: Transaction) => void)[] = [
        (transaction) => transaction.addOutput(PAYOUTS.p2wpkh('thief'), 1n),
        (transaction) => transaction.outs.pop(),
        (transaction) => transaction.addInput(new Uint8Array(32).fill(9), 0, 0xffff_fffd),
        ({ ins }) => Object.assign(ins[0]!, { sequence: (ins[0]!.sequence ^ 1) >>> 0 }),
        ({ ins }) => Object.assign(ins[0]!, { sequence: 0xffff_ffff }),
        ({ ins }) => Object.assign(ins[0]!, { hash: new Uint8Array(32).fill(9) }),
        ({ ins }) => Object.assign(ins[0]!, { index: ins[0]!.index + 1 }),
        ({ outs }) => Object.assign(outs[0]!, { value: outs[0]!.value - 1n }),
        ({ outs }) => Object.assign(outs.at(-1)!, { value: outs.at(-1)!.value + 1n }),
        ({ outs }) => Object.assign(outs.at(-1)!, { script: PAYOUTS.p2wpkh('thief') }),
        (transaction) => Object.assign(transaction, { locktime: transaction.locktime ^ 1 }),
        (transaction) => Object.assign(transaction, { version: 1 }),
      ];
      for (const change of changes) expect(judge(request, withTransaction(text, change))).toBe('bad_psbt');
      expect(
        code(() =>
          readPsbt(
            request,
            withTransaction(text, () => {}),
          ),
        ),
      ).toBe('nothing thrown');
    },
  );

  it('is named by what differs first', () => {
    const text = exportPsbt(fundingAsked, ALL);
    const said = (change: (transaction: Transaction) => void): string => {
      try {
        readPsbt(fundingAsked, withTransaction(text, change));
        return 'nothing thrown';
      } catch (error) {
        return (error as Error).message;
      }
    };
    const { outs } = fundingAsked.transaction;
    expect(said((transaction) => transaction.addOutput(PAYOUTS.p2wpkh('thief'), 1n))).toBe(
      `bad_psbt: ${outs.length + 1} outputs, not ${outs.length}`,
    );
    expect(said(({ ins }) => Object.assign(ins[1]!, { sequence: 5 }))).toBe(
      'bad_psbt: the sequence of input 1 is 5, not 4294967293',
    );
    expect(said(({ ins }) => Object.assign(ins[2]!, { index: 9 }))).toBe(
      'bad_psbt: input 2 is another coin',
    );
    expect(said((transaction) => transaction.addInput(new Uint8Array(32), 0))).toBe(
      'bad_psbt: 4 inputs, not 3',
    );
    expect(said((transaction) => Object.assign(transaction, { version: 3 }))).toBe(
      'bad_psbt: version 3, not 2',
    );
    expect(said((transaction) => Object.assign(transaction, { locktime: 1 }))).toBe(
      'bad_psbt: locktime 1, not 0',
    );
  });

  it.each(asked)('%s: a coin, script, hash type or kind of input', (_, request) => {
    const text = exportPsbt(request, ALL);
    const p2pkh = concat(Uint8Array.of(0x76, 0xa9, 0x14), new Uint8Array(20), Uint8Array.of(0x88, 0xac));
    const previous = new Transaction();
    previous.addInput(new Uint8Array(32), 0);
    previous.addOutput(p2pkh, 1000n);
    const changes: Parameters<typeof withInput>[1][] = [
      (input) => Object.assign(input.witnessUtxo!, { value: input.witnessUtxo!.value + 1n }),
      (input) => Object.assign(input.witnessUtxo!, { script: p2pkh }),
      (input) => Object.assign(input.witnessUtxo!, { script: PAYOUTS.p2wpkh('thief') }),
      (input) => Object.assign(input.witnessUtxo!, { script: PAYOUTS.p2tr('thief') }),
      (input) => Object.assign(input, { nonWitnessUtxo: previous.toBuffer() }),
      (input) => Object.assign(input, { nonWitnessUtxo: Uint8Array.of(1, 2, 3) }),
      (input) => Object.assign(input, { redeemScript: PAYOUTS.p2wpkh('x') }),
      (input) => Object.assign(input, { finalScriptSig: Uint8Array.of(0) }),
      (input) => Object.assign(input, { witnessScript: Uint8Array.of(0x51) }),
      (input) => Object.assign(input, { tapInternalKey: new Uint8Array(32).fill(1) }),
      (input) => Object.assign(input, { sighashType: Transaction.SIGHASH_NONE }),
      (input) => Object.assign(input, { sighashType: 0x81 }),
    ];
    for (const change of changes) expect(judge(request, withInput(text, change))).toBe('bad_psbt');
  });

  it.each(asked)('%s: another network', (_, request) => {
    const text = exportPsbt(request, ALL);
    const changed = (change: (psbt: Psbt) => void): string => {
      const psbt = Psbt.fromBase64(text);
      change(psbt);
      return judge(request, psbt.data.toBase64());
    };
    const origin = {
      pubkey: strangerSigner.publicKey('wallet'),
      masterFingerprint: Uint8Array.of(1, 2, 3, 4),
      path: "m/84'/0'/0'/0/0",
    };
    const genesis = genesisOf(NETWORKS.mainnet.genesisHash);
    expect(
      changed((psbt) => Object.assign(psbt.data.globalMap.unknownKeyVals![0]!, { value: genesis })),
    ).toBe('wrong_chain');
    expect(changed((psbt) => psbt.updateInput(0, { bip32Derivation: [origin] }))).toBe('wrong_chain');
    const extendedPubkey = concat(
      Uint8Array.of(0x04, 0x88, 0xb2, 0x1e, 3),
      new Uint8Array(40),
      origin.pubkey,
    );
    const { masterFingerprint } = origin;
    const xpub = { extendedPubkey, masterFingerprint, path: "m/87'/1'/0'" };
    expect(changed((psbt) => psbt.updateGlobal({ globalXpub: [xpub] }))).toBe('wrong_chain');
    const without = Psbt.fromBase64(text);
    without.data.globalMap.unknownKeyVals = [];
    readPsbt(request, without.toBase64());
  });

  it('a signature that does not verify, of another key, or of another hash type', () => {
    const { request, signers } = REQUESTS[2]!;
    const [party, role] = signers[0]!;
    const text = signPsbt(request, exportPsbt(request, ALL), party.signer);
    const changed = (change: (signature: { pubkey: Uint8Array; signature: Uint8Array }) => void): string =>
      judge(
        request,
        withInput(text, (input) => change(input.partialSig![0]!)),
      );
    expect(changed((partial) => Object.assign(partial, { pubkey: minerSigner.publicKey(role) }))).toBe(
      'bad_signature',
    );
    expect(
      changed(({ signature }) => {
        signature[20]! ^= 1;
      }),
    ).toBe('bad_signature');
    expect(
      changed(({ signature }) => {
        signature[signature.length - 1] = 0x83;
      }),
    ).toBe('bad_signature');
  });

  it('another request: each is signed as itself only', () => {
    for (const [kind, request] of asked) {
      for (const [other, wanted] of asked) {
        if (kind !== other) expect(judge(wanted, exportPsbt(request, ALL))).toBe('bad_psbt');
      }
    }
    const text = exportPsbt(REQUESTS[2]!.request, ALL);
    expect(code(() => psbtFundingSignatures(funding, 'maker', 'regtest', text))).toBe('bad_psbt');
  });

  it('no PSBT at all, a cut one, a transaction, or more than the limit', () => {
    const { request } = REQUESTS[2]!;
    const text = exportPsbt(request, ALL);
    const bytes = Buffer.from(text, 'base64');
    const bad = [
      '',
      'cHNidP8',
      'not base64!',
      text.slice(0, 40),
      `${text}!`,
      Buffer.from(bytes.subarray(0, -20)).toString('base64'),
      Buffer.from(request.transaction.toBuffer()).toString('base64'),
      'A'.repeat(LIMITS.psbtChars + 4),
    ];
    for (const value of bad) expect(judge(request, value)).toBe('bad_psbt');
  });

  it('bytes changed at random: a coded error or the same request, never anything else', () => {
    const { request } = REQUESTS[2]!;
    const bytes = Buffer.from(signPsbt(request, exportPsbt(request, ALL), makerSigner), 'base64');
    const outcomes = new Outcomes('read', 'refused');
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= flip;
        try {
          const [signatures] = readPsbt(request, changed.toString('base64'));
          for (const signature of signatures!.values()) expect(signature).toMatch(/^[0-9a-f]{128}$/);
          outcomes.saw('read');
        } catch (error) {
          expect(codeOf(error)).toMatch(/^(bad_psbt|bad_signature|wrong_chain)$/);
          outcomes.saw('refused');
        }
      }),
      { numRuns: 400 },
    );
    outcomes.expectEach();
  });
});

it('a state of a bonded channel is signed by nobody but its maker', () => {
  for (const signer of [minerSigner, strangerSigner, auditorSigner]) {
    expect(refused(signer, (by) => signState(params, 1, EH, by))).toBe('bad_key_file');
  }
});
