import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromHex } from '../../src/base/bytes.ts';
import { type CoinbaseOutput, coinbaseOutputs } from '../../src/bitcoin/coinbase.ts';
import { commitmentIn, commitmentOf, encodeMetadata } from '../../src/jobs/bead-metadata.ts';
import { checkMetadata, type MetadataFault } from '../../src/settlement/bead-rules.ts';
import { jobCoinbase } from '../../src/settlement/job-coinbase.ts';
import { type BoundParts, checkJob } from '../../src/settlement/share-rules.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import {
  addressOf,
  anyMetadata,
  commitmentScript,
  jobOn,
  metadataTo,
  OWN,
} from '../upstream/metadata-samples.ts';

const BUYER = `0014${'ab'.repeat(20)}`;
const THIEF = `0014${'cd'.repeat(20)}`;
const binding = { type: 'bead', scriptHex: BUYER, profile: 'spec', stopPpb: 1000, maxLossSat: 0n } as const;
const terms = makeTermsV3({ network: 'regtest', binding });
const good = jobOn(metadataTo(BUYER));

function faultOf(job: BoundParts): MetadataFault | undefined {
  return checkMetadata(binding, 'regtest', job, jobCoinbase(job)!.outputs);
}

function expectRefused(job: BoundParts, fault: MetadataFault): void {
  expect(faultOf(job)).toBe(fault);
  expect(checkJob(terms, job)).toBe('share_unbound');
}

describe('a job that commits to the payee of its beads', () => {
  it('is good where that is the buyer, with any worker behind the address', () => {
    for (const suffix of ['', '.rig', '.rig.1', '.'])
      expect(
        checkJob(terms, jobOn(metadataTo(BUYER, { payoutAddress: `${addressOf(BUYER)}${suffix}` }))),
      ).toBeUndefined();
  });

  it('F5: is refused with another payee, whatever stands behind it', () => {
    for (const payoutAddress of [
      ...[addressOf(THIEF), `${addressOf(THIEF)}.${addressOf(BUYER)}`, '', BUYER],
      ...[
        ` ${addressOf(BUYER)}`,
        `${addressOf(BUYER)} `,
        `${addressOf(BUYER)}\u0000`,
        `\uFEFF${addressOf(BUYER)}`,
      ],
    ])
      expectRefused(jobOn(metadataTo(BUYER, { payoutAddress })), 'payee');
  });

  it('is refused where its metadata is missing, another, or none', () => {
    expectRefused({ ...good, metadata: undefined }, 'missing');
    const { metadata: _, ...bare } = good;
    expectRefused(bare, 'missing');
    const other = encodeMetadata(metadataTo(BUYER, { startTimestamp: 1 }));
    expectRefused({ ...good, metadata: other }, 'hash');
    // The thief's job, shown with the metadata that the buyer would like.
    expectRefused({ ...jobOn(metadataTo(THIEF)), metadata: good.metadata! }, 'hash');
    expectRefused(jobOn(concat(encodeMetadata(metadataTo(BUYER)), Uint8Array.of(0))), 'shape');
    expectRefused(jobOn(new Uint8Array(0)), 'shape');
  });

  it('is refused where it commits twice, elsewhere, with value, or to the placeholder', () => {
    const ofThief: CoinbaseOutput = {
      script: commitmentScript(commitmentOf(encodeMetadata(metadataTo(THIEF))), OWN),
      valueSat: 0n,
    };
    const cases: ((usual: CoinbaseOutput[]) => CoinbaseOutput[])[] = [
      (usual) => [...usual, ofThief],
      ([reward, , own]) => [reward!, ofThief, own!],
      ([reward, witness, own]) => [reward!, own!, witness!],
      ([reward, witness, own]) => [reward!, witness!, { ...own!, valueSat: 1n }],
      ([reward, witness]) => [reward!, witness!],
      ([reward, witness]) => [
        ...[reward!, witness!],
        {
          script: fromHex(`6a28${Buffer.from('braidpool_bead_metadata_hash_32b00000000').toString('hex')}`),
          valueSat: 0n,
        },
      ],
    ];
    for (const outputs of cases) expectRefused(jobOn(metadataTo(BUYER), outputs), 'commitment');
  });

  it('is refused where no node would take its bead', () => {
    const { parents } = metadataTo(BUYER);
    for (const wrong of [parents.toReversed(), [parents[0]!, parents[0]!, parents[1]!], parents.slice(1)])
      expectRefused(jobOn(metadataTo(BUYER, { parents: wrong })), 'parents');
    expect(
      checkJob(terms, jobOn(metadataTo(BUYER, { parents: [], parentTimestamps: [] }))),
    ).toBeUndefined();
    for (const weakTarget of [0, 0x1d00ffff, 0x207ffffe, 0xff123456, 0x20800000])
      expectRefused(jobOn(metadataTo(BUYER, { weakTarget })), 'target');
    const hard = { ...jobOn(metadataTo(BUYER, { weakTarget: 0x1d00ffff })), bits: 0x1d00fffe };
    expect(checkJob(terms, hard)).toBeUndefined();
  });

  it('commits to the same in every share: no extranonce reaches an output', () => {
    const cut = fc.record({
      at: fc.nat(),
      size: fc.integer({ min: 1, max: 16 }),
      seed: fc.infiniteStream(fc.nat(255)),
    });
    let taken = 0;
    fc.assert(
      fc.property(cut, ({ at, size, seed }) => {
        const whole = concat(good.coinb1, new Uint8Array(8), good.coinb2);
        const from = at % (whole.length - size);
        const job = {
          ...good,
          ...{ coinb1: whole.slice(0, from), coinb2: whole.slice(from + size), extranonceSize: size },
        };
        if (checkJob(terms, job) !== undefined) return;
        taken += 1;
        const extranonce = Uint8Array.from({ length: size }, () => seed.next().value!);
        const commitment = commitmentIn(coinbaseOutputs(concat(job.coinb1, extranonce, job.coinb2)));
        expect(commitment).toEqual(commitmentOf(good.metadata!));
      }),
      { numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(0);
  });

  it('is none of anybody else: other profiles ask for no metadata', () => {
    for (const profile of ['as_is', 'weak'] as const) {
      const others = makeTermsV3({ network: 'regtest', binding: { ...binding, profile, maxLossSat: 1n } });
      expect(checkJob(others, { ...good, metadata: undefined })).toBeUndefined();
    }
  });

  it('is never paid for metadata at random', () => {
    fc.assert(
      fc.property(anyMetadata, (metadata) => {
        expect(checkJob(terms, jobOn(metadata))).toBe('share_unbound');
      }),
    );
  });
});
