import fc from 'fast-check';
import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import { owedSat } from '../../src/base/units.ts';
import { makerKeysOf, minerKeysOf } from '../../src/channel/keys.ts';
import { type ChannelParams, channelFacts } from '../../src/channel/params.ts';
import { type ChannelKeys, publicKeyHashOutput } from '../../src/channel/scripts.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import type { BondMode, BondTerms, SealTerms } from '../../src/contract/bond-terms.ts';
import {
  type ContractTerms,
  contractIdOf,
  DEFAULT_FEE_LADDER_SAT_PER_KVB,
  type TermsV1or2,
} from '../../src/contract/terms.ts';

export const EH = 10n ** 18n;

/** The code of what a call throws. */
export function code(run: () => unknown): string {
  try {
    run();
    return 'nothing thrown';
  } catch (error) {
    return codeOf(error);
  }
}

export function seedOf(text: string): Uint8Array {
  return sha256(new TextEncoder().encode(text));
}

export const minerSigner = new SeedSigner({ seed: seedOf('miner'), network: 'regtest', channelIndex: 7 });
export const makerSigner = new SeedSigner({ seed: seedOf('maker'), network: 'regtest', channelIndex: 7 });
export const strangerSigner = new SeedSigner({
  seed: seedOf('stranger'),
  network: 'regtest',
  channelIndex: 7,
});

export const auditorSigner = new SeedSigner({
  seed: seedOf('auditor'),
  network: 'regtest',
  channelIndex: 3,
});

export const BOND_MODES = ['auditor', 'hostage', 'forfeit_to_mm'] as const;

/** Bonds of any mode with the auditor above. */
export function makeBonds(
  bondMode: Exclude<BondMode, 'none'>,
  amounts: { makerBondSat?: bigint; collateralSat?: bigint; bondCsvBlocks?: number } = {},
): BondTerms {
  const { makerBondSat = 40_000n, collateralSat = 60_000n, bondCsvBlocks = 2016 } = amounts;
  if (bondMode !== 'auditor') return { bondMode, makerBondSat, collateralSat };
  const auditorKeyHex = toHex(auditorSigner.publicKey('auditor'));
  return { bondMode, makerBondSat, collateralSat, bondCsvBlocks, auditorKeyHex };
}

export const SEAL: SealTerms = { sealSat: 2000n, claimFeeRateSatPerKvb: 2000 };

/** 1000 EH at 485 sats, steps of 1 EH, over 485000 sats. */
export function makeTerms(changes: Partial<TermsV1or2> = {}): TermsV1or2 {
  return {
    network: 'regtest',
    minerNodeId: toHex(nodeIdBytes(minerSigner)),
    makerNodeId: toHex(nodeIdBytes(makerSigner)),
    priceMsatPerEh: 485_060n,
    workTotalHashes: 1000n * EH,
    stepHashes: EH,
    maxUnpaidSteps: 3,
    budgetSat: 485_060n,
    reserveSat: 1000n,
    minerReserveSat: 6000n,
    expiryHeight: 920_000,
    minDepth: 3,
    feeLadderSatPerKvb: DEFAULT_FEE_LADDER_SAT_PER_KVB,
    maxTargetHex: `00000000${'f'.repeat(56)}`,
    binding: { type: 'none' },
    staleGraceSeconds: 30,
    nonceHex: '00112233445566778899aabbccddeeff',
    ...changes,
  };
}

export const keys: ChannelKeys = {
  minerChannel: minerSigner.publicKey('channel'),
  makerChannel: makerSigner.publicKey('channel'),
  makerRefund: makerSigner.publicKey('refund'),
};

/** The keys both sides bring to a channel of these terms. */
export function keysOf(terms: ContractTerms): ChannelKeys {
  return { ...minerKeysOf(minerSigner, terms), ...makerKeysOf(makerSigner, terms) };
}

export const p2wpkh = (text: string): Uint8Array =>
  publicKeyHashOutput(new SeedSigner({ seed: seedOf(text), network: 'regtest' }).publicKey('wallet'));
export const p2wsh = (text: string): Uint8Array => Uint8Array.of(0x00, 0x20, ...seedOf(text));
export const p2tr = (text: string): Uint8Array => Uint8Array.of(0x51, 0x20, ...seedOf(text));

export function makeParams(
  changes: Partial<ChannelParams> = {},
  terms: ContractTerms = makeTerms(),
): ChannelParams {
  return {
    terms,
    contractId: contractIdOf(terms),
    keys: keysOf(terms),
    minerPayoutScript: p2wpkh('miner payout'),
    makerPayoutScript: p2wpkh('maker payout'),
    funding: { txid: toHex(seedOf('funding')), vout: 1 },
    ...(terms.seal === undefined ? {} : { seal: { vout: 301, nextScript: p2wpkh('next seal') } }),
    ...changes,
  };
}

export const PAYOUTS = { p2wpkh, p2wsh, p2tr };

/** Sound terms of any size. */
export const anyTerms: fc.Arbitrary<TermsV1or2> = fc
  .record({
    priceMsatPerEh: fc.bigInt(1n, 10_000_000n),
    stepHashes: fc.bigInt(1n, 100n * EH),
    steps: fc.bigInt(1n, 5000n),
    rest: fc.bigInt(0n, 99n),
    spareSat: fc.bigInt(0n, 100_000n),
    reserveSat: fc.bigInt(1000n, 100_000n),
    minerReserveSat: fc.bigInt(1000n, 200_000n),
    maxUnpaidSteps: fc.integer({ min: 1, max: 6 }),
    expiryHeight: fc.integer({ min: 1, max: 8_388_607 }),
  })
  .map(({ steps, rest, spareSat, ...terms }) => {
    const workTotalHashes = terms.stepHashes * steps + (terms.stepHashes * rest) / 100n;
    const budgetSat = owedSat(workTotalHashes, terms.priceMsatPerEh) + spareSat;
    return makeTerms({ ...terms, workTotalHashes, budgetSat });
  });

/** Sound terms with bonds of any mode, and sizes at and around every threshold. */
export const anyBondedTerms: fc.Arbitrary<TermsV1or2> = fc
  .record({
    terms: anyTerms,
    bondMode: fc.constantFrom(...BOND_MODES),
    collateral: fc.oneof(fc.constant(0n), fc.bigInt(1000n, 3500n), fc.bigInt(1000n, 10_000_000n)),
    bondPart: fc.bigInt(0n, 1000n),
    bondCsvBlocks: fc.integer({ min: 1, max: 65_535 }),
    hasSeal: fc.boolean(),
  })
  .map(({ terms, bondMode, collateral, bondPart, bondCsvBlocks, hasSeal }) => {
    const owed = owedSat(terms.workTotalHashes, terms.priceMsatPerEh);
    const cap = bondMode === 'forfeit_to_mm' && collateral < owed - 1n ? collateral : owed - 1n;
    const bond = (cap * bondPart) / 1000n;
    const makerBondSat = bond < 1000n ? 0n : bond;
    const collateralSat = makerBondSat === 0n && collateral === 0n ? 1000n : collateral;
    const bonds = makeBonds(bondMode, { makerBondSat, collateralSat, bondCsvBlocks });
    return { ...terms, bonds, ...(hasSeal ? { seal: SEAL } : {}) };
  });

const anyPayout = fc
  .tuple(fc.constantFrom(p2wpkh, p2wsh, p2tr), fc.constantFrom('a', 'b', 'c'))
  .map(([make, text]) => make(text));

const paramsOf = (terms: fc.Arbitrary<ContractTerms>): fc.Arbitrary<ChannelParams> =>
  fc
    .record({ terms, miner: anyPayout, maker: anyPayout, vout: fc.integer({ min: 0, max: 300 }) })
    .map(({ terms, miner, maker, vout }) =>
      makeParams(
        {
          minerPayoutScript: miner,
          makerPayoutScript: maker,
          funding: { txid: toHex(seedOf('any funding')), vout },
        },
        terms,
      ),
    )
    .filter(isAffordable);

/** Random reserves may not pay for state 0 with its bonds: such channels are refused, and not made here. */
function isAffordable(params: ChannelParams): boolean {
  return code(() => channelFacts(params)) === 'nothing thrown';
}

export const anyParams = paramsOf(anyTerms);
export const anyBondedParams = paramsOf(anyBondedTerms);

/** Parameters and work within the contract. */
const withWork = (
  params: fc.Arbitrary<ChannelParams>,
): fc.Arbitrary<{ params: ChannelParams; workHashes: bigint }> =>
  fc
    .tuple(params, fc.oneof(fc.bigInt(0n, 10n ** 6n), fc.constantFrom(0n, 10n ** 6n)))
    .map(([params, part]) => ({ params, workHashes: (params.terms.workTotalHashes * part) / 10n ** 6n }));

export const anyWork = withWork(anyParams);
export const anyBondedWork = withWork(anyBondedParams);
