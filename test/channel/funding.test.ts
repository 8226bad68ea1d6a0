import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import {
  buildFunding,
  buildFundingCancel,
  cancelVsize,
  type Funding,
  type FundingInput,
  type FundingRequest,
  type FundingRole,
  finalizeFunding,
  fundingInputScript,
  fundingSideToJson,
  parseFundingSide,
  signFundingInputs,
  verifyFundingSignatures,
} from '../../src/channel/funding.ts';
import { capacitySat, channelFacts } from '../../src/channel/params.ts';
import { channelScript, witnessScriptHashOutput } from '../../src/channel/scripts.ts';
import type { Signer } from '../../src/channel/signer.ts';
import { dustSat } from '../../src/channel/sizes.ts';
import { Outcomes } from '../base/outcomes.ts';
import { secondDigest, spend } from './consensus.ts';
import {
  code,
  keys,
  keysOf,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  PAYOUTS,
  SEAL,
  seedOf,
  strangerSigner,
} from './fixtures.ts';

const terms = makeTerms();
const SIGNERS: Readonly<Record<FundingRole, Signer>> = { maker: makerSigner, miner: minerSigner };
const ROLES = ['maker', 'miner'] as const;

function coin(role: FundingRole, name: string, valueSat: bigint, vout = 0): FundingInput {
  const publicKeyHex = toHex(SIGNERS[role].publicKey('wallet'));
  return { txid: toHex(seedOf(name)), vout, valueSat, publicKeyHex };
}

function request(changes: Partial<FundingRequest> = {}): FundingRequest {
  return {
    terms,
    keys,
    maker: { inputs: [coin('maker', 'a', 600_000n)], changeScript: PAYOUTS.p2wpkh('maker change') },
    miner: { inputs: [coin('miner', 'b', 20_000n)], changeScript: PAYOUTS.p2wpkh('miner change') },
    feeRateSatPerKvb: 5000,
    ...changes,
  };
}

function signed(funding: Funding): Record<FundingRole, string[]> {
  return {
    maker: signFundingInputs(funding, 'maker', makerSigner),
    miner: signFundingInputs(funding, 'miner', minerSigner),
  };
}

/** Rich enough for any terms of the tests at the rates they use. */
const anyRequest: fc.Arbitrary<FundingRequest> = fc
  .record({
    makerCoins: fc.array(fc.bigInt(1n, 10n ** 8n), { minLength: 1, maxLength: 5 }),
    minerCoins: fc.array(fc.bigInt(1n, 10n ** 6n), { minLength: 1, maxLength: 5 }),
    feeRateSatPerKvb: fc.integer({ min: 100, max: 50_000 }),
    maker: fc.constantFrom(PAYOUTS.p2wpkh, PAYOUTS.p2wsh, PAYOUTS.p2tr),
    miner: fc.constantFrom(PAYOUTS.p2wpkh, PAYOUTS.p2wsh, PAYOUTS.p2tr),
    salt: fc.nat(),
  })
  .map(({ makerCoins, minerCoins, feeRateSatPerKvb, maker, miner, salt }) => ({
    terms,
    keys,
    maker: {
      inputs: makerCoins.map((value, i) => coin('maker', `maker ${salt} ${i >> 1}`, value, i)),
      changeScript: maker('c'),
    },
    miner: {
      inputs: minerCoins.map((value, i) => coin('miner', `miner ${salt} ${i >> 1}`, value, i)),
      changeScript: miner('d'),
    },
    feeRateSatPerKvb,
  }));

describe('buildFunding', () => {
  it('takes from each side its part and the fee of its own inputs, and gives back the rest', () => {
    const funding = buildFunding(request());
    // 68 vB an input, 31 a change of P2WPKH, 53.5 the frame and the channel's output; each side in whole vB.
    const minerFee = (68n + 31n) * 5n;
    const makerFee = (68n + 31n + 54n) * 5n;
    expect(funding.changeSat).toEqual({
      maker: 600_000n - 486_060n - makerFee,
      miner: 20_000n - 6000n - minerFee,
    });
    expect(funding.feeSat).toBe(minerFee + makerFee);
    const transaction = Transaction.fromHex(funding.hex);
    expect(transaction.version).toBe(2);
    expect(transaction.outs.map((output) => output.value)).toEqual([
      funding.changeSat.miner,
      funding.changeSat.maker,
      492_060n,
    ]);
    expect(funding.vout).toBe(2);
    expect(transaction.getId()).toBe(funding.txid);
    expect(transaction.outs[2]!.script).toEqual(witnessScriptHashOutput(channelScript(keys, 920_000)));
  });

  it('conserves, pays at least the rate, and is the same whatever the order of the inputs (I14)', () => {
    const outcomes = new Outcomes('built', 'refused');
    fc.assert(
      fc.property(anyRequest, (of) => {
        let funding: Funding;
        try {
          funding = buildFunding(of);
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError);
          expect((error as CodedError).code).toBe('insufficient_funds');
          outcomes.saw('refused');
          return;
        }
        outcomes.saw('built');
        const inSat = funding.inputs.reduce((total, input) => total + input.valueSat, 0n);
        const { maker, miner } = funding.changeSat;
        expect(inSat).toBe(capacitySat(terms) + maker + miner + funding.feeSat);
        const reordered = buildFunding({
          ...of,
          maker: { ...of.maker, inputs: of.maker.inputs.toReversed() },
          miner: { ...of.miner, inputs: of.miner.inputs.toReversed() },
        });
        expect(reordered.hex).toBe(funding.hex);
        const final = finalizeFunding(funding, signed(funding));
        expect(final.txid).toBe(funding.txid);
        expect(funding.feeSat * 1000n).toBeGreaterThanOrEqual(BigInt(final.vsize * of.feeRateSatPerKvb));
        for (const role of ROLES) {
          if (funding.changeSat[role] > 0n)
            expect(funding.changeSat[role]).toBeGreaterThanOrEqual(dustSat(of[role].changeScript));
        }
        const keys = funding.inputs.map((input) => `${input.txid}${String(input.vout).padStart(9, '0')}`);
        expect(keys).toEqual(keys.toSorted());
      }),
      { numRuns: 60 },
    );
  });

  it('drops change below dust to the fee, and keeps it from dust on', () => {
    const without = 6000n + 68n * 5n;
    const withChange = without + 31n * 5n;
    const miner = (valueSat: bigint) =>
      buildFunding(request({ miner: { ...request().miner, inputs: [coin('miner', 'b', valueSat)] } }));
    expect(miner(without).changeSat.miner).toBe(0n);
    expect(miner(withChange + 293n).changeSat.miner).toBe(0n);
    expect(miner(withChange + 294n).changeSat.miner).toBe(294n);
    expect(code(() => miner(without - 1n))).toBe('insufficient_funds');
  });

  it('says who lacks how much', () => {
    const poor = request({ maker: { ...request().maker, inputs: [coin('maker', 'a', 486_000n)] } });
    try {
      buildFunding(poor);
      expect.unreachable();
    } catch (error) {
      const { code: found, meta } = error as CodedError;
      const feeSat = (68n + 54n) * 5n;
      expect(found).toBe('insufficient_funds');
      expect(meta).toEqual({ role: 'maker', missingSat: 486_060n + feeSat - 486_000n });
    }
  });

  it('refuses an input that is there twice, on one side or on both', () => {
    const { maker, miner } = request();
    const twice = { ...maker, inputs: [...maker.inputs, ...maker.inputs] };
    const stolen = { ...miner, inputs: [...miner.inputs, maker.inputs[0]!] };
    expect(code(() => buildFunding(request({ maker: twice })))).toBe('bad_funding');
    expect(code(() => buildFunding(request({ miner: stolen })))).toBe('bad_funding');
    const { vout, ...rest } = maker.inputs[0]!;
    const neighbour = {
      ...maker,
      inputs: [
        { ...rest, vout },
        { ...rest, vout: vout + 1 },
      ],
    };
    expect(buildFunding(request({ maker: neighbour })).inputs).toHaveLength(3);
  });

  it('refuses inputs, change and fee rates that no honest side names', () => {
    const input = coin('miner', 'b', 20_000n);
    const inputs: FundingInput[][] = [
      [],
      new Array(65).fill(0).map((_, i) => ({ ...input, vout: i })),
      [{ ...input, txid: input.txid.toUpperCase() }],
      [{ ...input, txid: input.txid.slice(2) }],
      [{ ...input, vout: -1 }],
      [{ ...input, vout: 2 ** 32 }],
      [{ ...input, vout: 0.5 }],
      [{ ...input, valueSat: 0n }],
      [{ ...input, valueSat: -20_000n }],
      [{ ...input, valueSat: 21n * 10n ** 14n + 1n }],
      [{ ...input, publicKeyHex: `02${'ff'.repeat(32)}` }],
      [{ ...input, publicKeyHex: `04${'11'.repeat(64)}` }],
      [{ ...input, publicKeyHex: input.publicKeyHex.toUpperCase() }],
      [{ ...input, publicKeyHex: '' }],
    ];
    for (const bad of inputs) {
      const miner = { ...request().miner, inputs: bad };
      expect(code(() => buildFunding(request({ miner })))).toBe('bad_funding');
    }
    for (const changeScript of [new Uint8Array(0), Uint8Array.of(0x6a), PAYOUTS.p2wpkh('x').subarray(1)]) {
      const miner = { ...request().miner, changeScript };
      expect(code(() => buildFunding(request({ miner })))).toBe('bad_terms');
    }
    const changeScript = witnessScriptHashOutput(channelScript(keys, terms.expiryHeight));
    expect(code(() => buildFunding(request({ miner: { ...request().miner, changeScript } })))).toBe(
      'bad_funding',
    );
    for (const feeRateSatPerKvb of [0, 99, -5, 1.5, Number.NaN, 10_000_001]) {
      expect(code(() => buildFunding(request({ feeRateSatPerKvb })))).toBe('bad_amount');
    }
  });
});

describe('a funding with bonds and a seal', () => {
  const sealed = makeTerms({ bonds: makeBonds('auditor'), seal: SEAL });
  const all = keysOf(sealed);
  const of = (changes: Partial<FundingRequest> = {}): FundingRequest => ({
    ...request({ terms: sealed, keys: all }),
    maker: { ...request().maker, inputs: [coin('maker', 'a', 600_000n)] },
    miner: { ...request().miner, inputs: [coin('miner', 'b', 80_000n)] },
    ...changes,
  });

  it('takes B + R + D from the maker, C + r0 and the seal with its fee from the miner', () => {
    const funding = buildFunding(of());
    const minerFee = (68n + 31n + 43n) * 5n;
    const makerFee = (68n + 31n + 54n) * 5n;
    expect(funding.changeSat).toEqual({
      maker: 600_000n - 526_060n - makerFee,
      miner: 80_000n - 66_000n - 2000n - minerFee,
    });
    expect(funding.feeSat).toBe(minerFee + makerFee);
    const { outs } = Transaction.fromHex(funding.hex);
    expect(outs[funding.vout]).toEqual({
      script: witnessScriptHashOutput(channelScript(all, sealed.expiryHeight)),
      value: capacitySat(sealed),
    });
    const params = makeParams(
      {
        funding: { txid: funding.txid, vout: funding.vout },
        seal: { vout: funding.sealVout!, nextScript: PAYOUTS.p2wpkh('next') },
      },
      sealed,
    );
    expect(outs[funding.sealVout!]).toEqual({
      script: channelFacts(params).seal!.outputScript,
      value: SEAL.sealSat,
    });
    const final = finalizeFunding(funding, signed(funding));
    expect(funding.feeSat).toBeGreaterThanOrEqual(BigInt(final.vsize) * 5n);
    expect(funding.feeSat).toBeLessThanOrEqual(BigInt(final.vsize + 5) * 5n);
  });

  it('has no seal output where the terms have no seal', () => {
    expect(buildFunding(request()).sealVout).toBeUndefined();
  });

  it('refuses keys the terms do not need, lacking keys, and change to the seal', () => {
    const { minerSealExit, ...without } = all;
    expect(minerSealExit).toBeDefined();
    expect(code(() => buildFunding(of({ keys: without })))).toBe('bad_terms');
    expect(code(() => buildFunding(of({ keys })))).toBe('bad_terms');
    expect(code(() => buildFunding(request({ keys: all })))).toBe('bad_terms');
    const funding = buildFunding(of());
    const changeScript = Transaction.fromHex(funding.hex).outs[funding.sealVout!]!.script;
    expect(code(() => buildFunding(of({ miner: { ...of().miner, changeScript } })))).toBe('bad_funding');
  });

  it('says what the miner lacks, its collateral and seal included', () => {
    const poor = of({ miner: { ...of().miner, inputs: [coin('miner', 'b', 68_000n)] } });
    try {
      buildFunding(poor);
      expect.unreachable();
    } catch (error) {
      expect((error as CodedError).meta).toEqual({ role: 'miner', missingSat: (68n + 43n) * 5n });
    }
  });
});

describe('the signatures of a funding', () => {
  const of = request({
    maker: {
      inputs: [coin('maker', 'a', 300_000n), coin('maker', 'c', 300_000n), coin('maker', 'a', 9000n, 1)],
      changeScript: PAYOUTS.p2tr('maker change'),
    },
  });
  const funding = buildFunding(of);
  const signatures = signed(funding);

  it('make every input valid', () => {
    const transaction = Transaction.fromHex(finalizeFunding(funding, signatures).hex);
    funding.inputs.forEach((input, index) => {
      const output = { script: fromHex(fundingInputScript(input)), valueSat: input.valueSat };
      expect(spend(transaction, index, output)).toBe('ok');
      expect(spend(transaction, index, { ...output, valueSat: output.valueSat + 1n })).not.toBe('ok');
    });
    transaction.outs[0]!.value -= 1n;
    const [input] = funding.inputs;
    const output = { script: fromHex(fundingInputScript(input!)), valueSat: input!.valueSat };
    expect(spend(transaction, 0, output)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
  });

  it('are over the hash that a second library works out (two checks)', () => {
    const transaction = Transaction.fromHex(funding.hex);
    funding.inputs.forEach((input, index) => {
      const hash = fundingInputScript(input).slice(4);
      const scriptCode = fromHex(`76a914${hash}88ac`);
      const digest = secondDigest(transaction, index, scriptCode, input.valueSat);
      const expected = toHex(SIGNERS[input.role].signEcdsa('wallet', fromHex(digest)));
      const position = funding.inputs.slice(0, index).filter((other) => other.role === input.role).length;
      expect(signatures[input.role][position]).toBe(expected);
    });
  });

  it('are refused when missing, spare, swapped, of another key or with one bit changed', () => {
    const [first, second, third] = signatures.maker;
    const bad: string[][] = [
      [],
      [first!, second!],
      [first!, second!, third!, third!],
      [second!, first!, third!],
      [first!, second!, signatures.miner[0]!],
      signFundingInputs(
        { ...funding, inputs: funding.inputs.map((i) => ({ ...i, publicKeyHex: strangerKey })) },
        'maker',
        strangerSigner,
      ),
      [first!, second!, third!.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))],
      [first!, second!, 'zz'.repeat(64)],
      [first!, second!, `${third!}00`],
    ];
    for (const maker of bad) {
      expect(code(() => verifyFundingSignatures(funding, 'maker', maker))).toBe('bad_signature');
      expect(code(() => finalizeFunding(funding, { ...signatures, maker }))).toBe('bad_signature');
    }
    verifyFundingSignatures(funding, 'maker', signatures.maker);
  });

  const strangerKey = toHex(strangerSigner.publicKey('wallet'));

  it('are never given for what the other side named, nor for a key that is not the wallet’s', () => {
    // The peer names a coin of this wallet as its own: it is the peer's to sign.
    const own = coin('maker', 'z', 50_000n);
    const trap = buildFunding(
      request({ miner: { ...request().miner, inputs: [...request().miner.inputs, own] } }),
    );
    expect(signFundingInputs(trap, 'maker', makerSigner)).toHaveLength(1);
    expect(code(() => signFundingInputs(trap, 'miner', minerSigner))).toBe('bad_funding');
    expect(code(() => signFundingInputs(funding, 'maker', strangerSigner))).toBe('bad_funding');
  });
});

describe('taking the own coins of a funding back', () => {
  const of = buildFunding(
    request({
      maker: {
        inputs: [coin('maker', 'a', 400_000n), coin('maker', 'c', 200_000n)],
        changeScript: PAYOUTS.p2wpkh('maker change'),
      },
    }),
  );
  const to = PAYOUTS.p2wpkh('back');

  it.each(['maker', 'miner'] as const)('spends all coins of the %s and no other, less the fee', (role) => {
    const own = of.inputs.filter((input) => input.role === role);
    const inSat = own.reduce((sum, { valueSat }) => sum + valueSat, 0n);
    const cancel = buildFundingCancel(of, role, to, 777n);
    const transaction = Transaction.fromHex(cancel.hex);
    expect(cancel).toMatchObject({
      ...{ txid: transaction.getId(), vout: 0, capacitySat: inSat - 777n, feeSat: 777n, inputs: own },
      changeSat: { maker: 0n, miner: 0n },
    });
    expect(transaction.version).toBe(2);
    expect(transaction.outs).toEqual([{ script: to, value: inSat - 777n }]);
    expect(transaction.ins.map(({ index, sequence }) => [index, sequence])).toEqual(
      own.map(({ vout }) => [vout, 0xffff_fffd]),
    );
    const [signature] = signFundingInputs(cancel, role, SIGNERS[role]);
    const signed_ = finalizeFunding(cancel, {
      ...{ maker: [], miner: [] },
      [role]: signFundingInputs(cancel, role, SIGNERS[role]),
    });
    expect(signature).toMatch(/^[0-9a-f]{128}$/);
    expect(signed_.vsize).toBeLessThanOrEqual(cancelVsize(own.length, to));
    expect(signed_.vsize).toBeGreaterThan(cancelVsize(own.length, to) - 3 * own.length);
    own.forEach((input, index) => {
      const output = { script: fromHex(fundingInputScript(input)), valueSat: input.valueSat };
      expect(spend(Transaction.fromHex(signed_.hex), index, output)).toBe('ok');
    });
  });

  it('leaves an output that relays, to the sat', () => {
    const all = 600_000n;
    expect(buildFundingCancel(of, 'maker', to, all - 294n).capacitySat).toBe(294n);
    expect(() => buildFundingCancel(of, 'maker', to, all - 293n)).toThrow(
      expect.objectContaining({ code: 'insufficient_funds', meta: { role: 'maker', missingSat: 1n } }),
    );
  });
});

describe('a side in JSON', () => {
  const side = request().maker;

  it('survives the round trip', () => {
    expect(parseFundingSide(JSON.parse(JSON.stringify(fundingSideToJson(side))))).toEqual(side);
  });

  it('is refused when anything is absent, unknown or out of shape', () => {
    const good = fundingSideToJson(side);
    const [input] = good['inputs'] as readonly Record<string, unknown>[];
    const protocol: unknown[] = [
      null,
      { ...good, more: 1 },
      { inputs: good['inputs'] },
      { ...good, inputs: {} },
      { ...good, inputs: new Array(65).fill(input) },
      { ...good, change_script: 'XX' },
      ...Object.keys(input!).map((key) => ({ ...good, inputs: [{ ...input, [key]: null }] })),
      { ...good, inputs: [{ ...input, more: 1 }] },
      { ...good, inputs: [{ ...input, value_sat: 600_000 }] },
    ];
    for (const value of protocol) expect(code(() => parseFundingSide(value))).toBe('protocol');
    expect(code(() => parseFundingSide({ ...good, inputs: [] }))).toBe('bad_funding');
    expect(code(() => parseFundingSide({ ...good, change_script: '6a' }))).toBe('bad_terms');
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(code(() => parseFundingSide(value))).toBe('protocol');
      }),
    );
  });
});
