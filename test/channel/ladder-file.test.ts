import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { taggedHash } from '../../src/base/hash.ts';
import { canonicalJson, type Json } from '../../src/base/json.ts';
import { feeAt } from '../../src/chain/fee-rate.ts';
import {
  type Ladder,
  MAX_LADDER_CHARS,
  makeLadder,
  makeRefundLadder,
  parseLadder,
  printLadder,
} from '../../src/channel/ladder-file.ts';
import { channelFacts } from '../../src/channel/params.ts';
import { refundVsize } from '../../src/channel/sizes.ts';
import { signState, stateAmounts } from '../../src/channel/states.ts';
import { spend } from './consensus.ts';
import {
  anyBondedParams,
  code,
  EH,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  strangerSigner,
} from './fixtures.ts';

const MARGINS = { askBlocks: 288, broadcastBlocks: 144, urgentBlocks: 36 };
const NOW = 1_800_000_000_000;
const params = makeParams();
const state = signState(params, 7, 400n * EH, makerSigner);
const ladder = makeLadder(params, state, MARGINS, minerSigner, NOW);
const text = printLadder(ladder);

/** `taken`, or what is wrong with a file. */
function refused(file: string): string {
  try {
    parseLadder(file);
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'bad_ladder') throw error;
    return String(error.meta['type']);
  }
}

/** The file with another content and the checksum that belongs to it. */
function altered(change: (of: Ladder) => Ladder): string {
  return printLadder(change(parseLadder(text)));
}

describe('a ladder file', () => {
  it('has all rungs of the state, each of them valid, and what a closer has to know', () => {
    const { capacitySat, outputScript } = channelFacts(params);
    expect(ladder.rungs).toHaveLength(5);
    for (const { hex, feeSat } of ladder.rungs) {
      const transaction = Transaction.fromHex(hex);
      expect(spend(transaction, 0, { script: outputScript, valueSat: capacitySat })).toBe('ok');
      expect(transaction.outs[0]!.value).toBe(
        stateAmounts(params.terms, state.workHashes).minerSat - feeSat,
      );
    }
    expect(ladder).toMatchObject({
      network: 'regtest',
      contractId: params.contractId,
      ...{ n: 7, workHashes: 400n * EH, paidSat: state.paidSat, writtenAtMs: NOW },
      funding: { ...params.funding, valueSat: capacitySat },
      deadlines: {
        askHeight: 919_712,
        broadcastHeight: 919_856,
        urgentHeight: 919_964,
        expiryHeight: 920_000,
      },
    });
  });

  it('comes back as it was, of any channel', () => {
    expect(parseLadder(text)).toEqual(ladder);
    fc.assert(
      fc.property(anyBondedParams, fc.nat({ max: 100 }), (of, percent) => {
        const workHashes = (of.terms.workTotalHashes * BigInt(percent)) / 100n;
        const made = makeLadder(
          of,
          signState(of, percent === 0 ? 0 : 3, percent === 0 ? 0n : workHashes, makerSigner),
          MARGINS,
          minerSigner,
          NOW,
        );
        expect(parseLadder(printLadder(made))).toEqual(made);
      }),
      { numRuns: 60 },
    );
  });

  it('is refused wherever it was cut off, and with any byte of it another', () => {
    for (let size = 0; size < text.length - 1; size += 1) expect(refused(text.slice(0, size))).toBe('torn');
    fc.assert(
      fc.property(fc.nat({ max: text.length - 3 }), fc.integer({ min: 1, max: 127 }), (at, by) => {
        const changed = String.fromCharCode((text.charCodeAt(at) + by) % 128);
        const file = text.slice(0, at) + changed + text.slice(at + 1);
        fc.pre(canonicalOf(file) !== canonicalOf(text));
        expect(refused(file)).not.toBe('taken');
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (file) => {
        expect(refused(file)).not.toBe('taken');
      }),
    );
    expect(refused('['.repeat(30_000) + ']'.repeat(30_000))).toBe('content');
    expect(refused(text + ' '.repeat(MAX_LADDER_CHARS))).toBe('torn');
  });

  it('of the refund has the rates that cost up to half of the channel, to the sat', () => {
    const workTotalHashes = 10n * EH;
    const feeSat = feeAt(refundVsize(channelFacts(params).script, params.makerPayoutScript), 57_000);
    const ratesFor = (capacitySat: bigint): number[] => {
      const minerReserveSat = capacitySat - 4851n - 1000n;
      const feeLadderSatPerKvb = [1000, 57_000];
      const terms = makeTerms({ workTotalHashes, budgetSat: 4851n, minerReserveSat, feeLadderSatPerKvb });
      const of = makeParams({}, terms);
      expect(channelFacts(of).capacitySat).toBe(capacitySat);
      return makeRefundLadder(of, makerSigner, NOW).rungs.map(({ satPerKvb }) => satPerKvb);
    };
    expect(ratesFor(2n * feeSat)).toEqual([1000, 57_000]);
    expect(ratesFor(2n * feeSat - 1n)).toEqual([1000]);
  });

  it('may be as long as the limit, and have as many rungs', () => {
    expect(refused(text + ' '.repeat(MAX_LADDER_CHARS - text.length))).toBe('taken');
    expect(refused(text + ' '.repeat(MAX_LADDER_CHARS - text.length + 1))).toBe('torn');
    for (const value of ['null', '7', '"x"', '[]', '{}']) expect(refused(value), value).toBe('content');
  });

  it('names an outpoint, whole', () => {
    const with_ = (funding: object): string =>
      refused(altered((of) => ({ ...of, funding: { ...of.funding, ...funding } as Ladder['funding'] })));
    const { txid } = ladder.funding;
    for (const wrong of [txid.slice(1), `${txid}0`, txid.toUpperCase(), 7]) {
      expect(with_({ txid: wrong })).toBe('content');
    }
    for (const wrong of [-1, 0.5, '1', 2 ** 32]) expect(with_({ vout: wrong })).toBe('content');
  });

  it('has heights that rise, each to the next, and may be equal', () => {
    const { deadlines } = ladder;
    const with_ = (change: object): string =>
      refused(altered((of) => ({ ...of, deadlines: { ...deadlines, ...change } })));
    const { askHeight, broadcastHeight, urgentHeight, expiryHeight } = deadlines;
    expect(with_({ askHeight: broadcastHeight })).toBe('taken');
    expect(with_({ askHeight: broadcastHeight + 1 })).toBe('content');
    expect(with_({ broadcastHeight: urgentHeight })).toBe('taken');
    expect(with_({ broadcastHeight: urgentHeight + 1 })).toBe('content');
    expect(with_({ urgentHeight: expiryHeight })).toBe('taken');
    expect(with_({ urgentHeight: expiryHeight + 1 })).toBe('content');
    expect(with_({ expiryHeight: 499_999_999 })).toBe('taken');
    expect(with_({ expiryHeight: 500_000_000 })).toBe('content');
    expect(with_({ askHeight: askHeight + 0.5 })).toBe('content');
  });

  it('has rungs that each rise in rate and in fee, spend the one coin, and pay something', () => {
    const [low, high] = ladder.rungs as [Ladder['rungs'][0], Ladder['rungs'][0]];
    const with_ = (...rungs: Ladder['rungs']): string => refused(altered((of) => ({ ...of, rungs })));
    expect(with_(low, high)).toBe('taken');
    expect(with_(low, { ...low, satPerKvb: low.satPerKvb + 1 })).toBe('content');
    expect(with_(low, { ...high, satPerKvb: low.satPerKvb })).toBe('content');
    /** The rung with another transaction, of which everything said is true. */
    const remade = (change: (of: Transaction) => void): Ladder['rungs'][0] => {
      const transaction = Transaction.fromHex(low.hex);
      change(transaction);
      const outSat = transaction.outs.reduce((sum, { value }) => sum + value, 0n);
      return {
        ...low,
        feeSat: ladder.funding.valueSat - outSat,
        vsize: transaction.virtualSize(),
        txid: transaction.getId(),
        hex: transaction.toHex(),
      };
    };
    expect(with_(remade(() => undefined))).toBe('taken');
    expect(with_(remade((of) => of.addInput(new Uint8Array(32).fill(1), 0)))).toBe('content');
    expect(with_(remade((of) => (of.locktime = 1)))).toBe('content');
    expect(with_(remade((of) => (of.ins[0]!.index += 1)))).toBe('content');
    expect(with_(remade((of) => (of.ins[0]!.hash = new Uint8Array(32))))).toBe('content');
    expect(with_(remade((of) => (of.ins[0]!.witness = [])))).toBe('content');
    expect(with_(remade((of) => (of.ins[0]!.witness[3] = new Uint8Array(9))))).toBe('content');
    const pay = (feeSat: bigint) =>
      remade((of) => {
        of.outs[0]!.value += low.feeSat - feeSat;
      });
    expect(with_(pay(1n))).toBe('taken');
    expect(with_(pay(0n))).toBe('content');
    const rising = (count: number) =>
      Array.from({ length: count }, (_, step) => ({ ...pay(BigInt(step + 1)), satPerKvb: step }));
    expect(with_(...rising(8))).toBe('taken');
    expect(with_(...rising(9))).toBe('content');
  });

  it('says whether it closes, when it was written, and that it is none of the maker', () => {
    expect(ladder).toMatchObject({ isClosing: false, isRefund: false });
    const at = (nowMs: number) => makeLadder(params, state, MARGINS, minerSigner, nowMs, true);
    expect(at(1234.9)).toMatchObject({ isClosing: true, writtenAtMs: 1234 });
    expect(at(-5).writtenAtMs).toBe(0);
    expect(refused(printLadder(at(7)))).toBe('taken');
    const { rungs } = ladder;
    const wrong: readonly object[] = [
      { isClosing: 'yes' },
      { writtenAtMs: 0.5 },
      { writtenAtMs: '7' },
      { n: '7' },
      { rungs: [{ ...rungs[0]!, satPerKvb: 2 ** 60 }] },
    ];
    for (const [index, change] of wrong.entries())
      expect(refused(altered((of) => ({ ...of, ...change }))), `change ${index}`).toBe('content');
  });

  it('is refused for a number that is none, and for the fields of a rung, each by itself', () => {
    type Body = Record<string, unknown> & { readonly rungs: readonly object[] };
    const { checksum: _, ...body } = JSON.parse(text) as Body;
    const [rung] = (body as Body).rungs;
    /** The file with other fields and the checksum that belongs to it. */
    const rewritten = (changes: object): string => {
      const next = { ...body, ...changes };
      const bytes = new TextEncoder().encode(canonicalJson(next as Json));
      return JSON.stringify({ ...next, checksum: toHex(taggedHash('sharestream/ladder/1', bytes)) });
    };
    expect(refused(rewritten({}))).toBe('taken');
    const wrong: readonly object[] = [
      ...[{ paid_sat: '-1' }, { paid_sat: 7 }, { work_hashes: '1e3' }, { network: 'moon' }],
      ...[{ format: 'sharestream-chute' }, { funding: null }, { rungs: {} }],
      // Of another format the version says nothing.
      { format: 'x', version: 9 },
      ...[
        { fee_sat: '1' },
        { vsize: 1 },
        { txid: '00'.repeat(32) },
        { hex: '00' },
        { sat_per_kvb: -1 },
      ].map((change) => ({ rungs: [{ ...rung, ...change }] })),
    ];
    for (const changes of wrong)
      expect(refused(rewritten(changes)), JSON.stringify(changes)).toBe('content');
    for (const version of [0, 3, '1', null]) expect(refused(rewritten({ version }))).toBe('version');
  });

  it('of a later version says so', () => {
    expect(refused(text.replace('"version":1', '"version":3'))).toBe('version');
    expect(refused(text.replace('sharestream-ladder', 'sharestream-chute'))).toBe('content');
  });

  it('is refused where its parts do not belong together, whatever its checksum', () => {
    const other = makeLadder(
      makeParams({ funding: { txid: '77'.repeat(32), vout: 1 } }),
      signState(makeParams({ funding: { txid: '77'.repeat(32), vout: 1 } }), 7, EH, makerSigner),
      MARGINS,
      minerSigner,
      NOW,
    );
    const rung = ladder.rungs[1]!;
    const changes: readonly ((of: Ladder) => Ladder)[] = [
      (of) => ({ ...of, rungs: other.rungs }),
      (of) => ({ ...of, rungs: of.rungs.toReversed() }),
      (of) => ({ ...of, rungs: [] }),
      (of) => ({ ...of, rungs: [{ ...rung, feeSat: rung.feeSat + 1n }] }),
      (of) => ({ ...of, rungs: [{ ...rung, txid: '11'.repeat(32) }] }),
      (of) => ({ ...of, rungs: [{ ...rung, vsize: rung.vsize + 1 }] }),
      (of) => ({ ...of, rungs: [{ ...rung, hex: `${rung.hex}00` }] }),
      (of) => ({ ...of, funding: { ...of.funding, valueSat: of.funding.valueSat + 1n } }),
      (of) => ({ ...of, funding: { ...of.funding, vout: 0 } }),
      (of) => ({ ...of, funding: { ...of.funding, script: new Uint8Array(34) } }),
      (of) => ({ ...of, deadlines: { ...of.deadlines, askHeight: 920_001 } }),
      (of) => ({ ...of, n: -1 }),
      (of) => ({ ...of, network: 'moon' as Ladder['network'] }),
    ];
    for (const [index, change] of changes.entries())
      expect(refused(altered(change)), `change ${index}`).toBe('content');
    expect(refused(altered((of) => of))).toBe('taken');
  });

  it('is made of no state that does not verify, and with no other key', () => {
    const bad = { ...state, signatures: state.signatures.map(() => '11'.repeat(64)) };
    expect(code(() => makeLadder(params, bad, MARGINS, minerSigner, NOW))).toBe('bad_signature');
    expect(code(() => makeLadder(params, state, MARGINS, strangerSigner, NOW))).toBe('bad_key_file');
  });
});

/** Equal for texts that say the same. */
function canonicalOf(file: string): string {
  try {
    return JSON.stringify(JSON.parse(file));
  } catch {
    return file;
  }
}

describe('the file of a refund', () => {
  const refund = makeRefundLadder(params, makerSigner, NOW);

  it('has the whole channel for the maker at each rate of the terms, valid from the expiry on', () => {
    const { capacitySat, outputScript } = channelFacts(params);
    const { expiryHeight, feeLadderSatPerKvb } = params.terms;
    expect(refund.rungs.map(({ satPerKvb }) => satPerKvb)).toEqual(feeLadderSatPerKvb);
    for (const { hex, feeSat } of refund.rungs) {
      const transaction = Transaction.fromHex(hex);
      expect(spend(transaction, 0, { script: outputScript, valueSat: capacitySat })).toBe('ok');
      expect(transaction.locktime).toBe(expiryHeight);
      expect(transaction.outs.map(({ value }) => value)).toEqual([capacitySat - feeSat]);
    }
    expect(refund.deadlines).toMatchObject({
      askHeight: expiryHeight,
      broadcastHeight: expiryHeight,
      expiryHeight,
    });
  });

  it('comes back as it was, of any channel, and never pays more than half of it', () => {
    fc.assert(
      fc.property(anyBondedParams, (of) => {
        const made = makeRefundLadder(of, makerSigner, NOW);
        expect(parseLadder(printLadder(made))).toEqual(made);
        const { capacitySat } = channelFacts(of);
        for (const { feeSat } of made.rungs) expect(feeSat * 2n).toBeLessThanOrEqual(capacitySat);
      }),
      { numRuns: 40 },
    );
  });

  it('is not taken for that of a state, nor the other way round', () => {
    for (const [of, isRefund] of [
      [refund, false],
      [ladder, true],
    ] as const)
      expect(refused(printLadder({ ...of, isRefund }))).toBe('content');
  });
});
