import { address as addresses } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { concat, fromHex, toHex } from '../../src/base/bytes.ts';
import { buildCoinbase, type CoinbaseOutput } from '../../src/bitcoin/coinbase.ts';
import { compareHashes } from '../../src/bitcoin/header.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { type BeadMetadata, commitmentOf, encodeMetadata } from '../../src/jobs/bead-metadata.ts';

/** nBits of blocks that every second hash is. */
export const EASY_BITS = 0x207fffff;
/** Eight bytes that the node puts behind a commitment. */
export const OWN = new Uint8Array(8).fill(1);

/** The script of the output that holds a commitment. */
export function commitmentScript(commitment: Uint8Array, own = OWN): Uint8Array {
  return concat(Uint8Array.of(0x6a, 40), commitment, own);
}

/** Any metadata that can be encoded. */
export const anyMetadata: fc.Arbitrary<BeadMetadata> = fc.record({
  transactionIds: fc
    .array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 5 })
    .map((each) => concat(...each)),
  parents: hashes(300),
  parentTimestamps: fc.array(u32(), { maxLength: 5 }),
  payoutAddress: fc.string({ unit: 'grapheme', maxLength: 80 }),
  startTimestamp: u32(),
  commPubKeyHex: fc.uint8Array({ maxLength: 40 }).map(toHex),
  minTarget: u32(),
  weakTarget: u32(),
  minerIp: fc.string({ maxLength: 300 }),
});

export function u32(): fc.Arbitrary<number> {
  return fc.integer({ min: 0, max: 0xffffffff });
}

function hashes(maxLength: number): fc.Arbitrary<string[]> {
  return fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex), { maxLength });
}

export function addressOf(scriptHex: string): string {
  return addresses.fromOutputScript(fromHex(scriptHex), NETWORKS.regtest.params);
}

/** Metadata of a bead that pays a script. */
export function metadataTo(scriptHex: string, changes: Partial<BeadMetadata> = {}): BeadMetadata {
  const parents = ['11', '22', '33'].map((byte) => byte.repeat(32)).sort(compareHashes);
  return {
    transactionIds: new Uint8Array(32).fill(0xab),
    ...{ parents, parentTimestamps: parents.map(() => 1_700_000_000) },
    payoutAddress: `${addressOf(scriptHex)}.rig.1`,
    startTimestamp: 1_700_000_001,
    commPubKeyHex: '02'.repeat(33),
    ...{ minTarget: EASY_BITS, weakTarget: EASY_BITS, minerIp: '127.0.0.1:1' },
    ...changes,
  };
}

/** The outputs of a node's coinbase that commits to what is encoded. */
export function outputsFor(commitment: Uint8Array): CoinbaseOutput[] {
  return [
    { script: fromHex(`0014${'99'.repeat(20)}`), valueSat: 5_000_000_000n },
    { script: fromHex(`6a24aa21a9ed${'00'.repeat(32)}`), valueSat: 0n },
    { script: commitmentScript(commitment, OWN), valueSat: 0n },
  ];
}

/** The parts of a job that commits to metadata. */
export function jobOn(
  metadata: BeadMetadata | Uint8Array,
  outputs: (usual: CoinbaseOutput[]) => CoinbaseOutput[] = (usual) => usual,
) {
  const encoded = metadata instanceof Uint8Array ? metadata : encodeMetadata(metadata);
  const { coinb1, coinb2 } = buildCoinbase({
    ...{ height: 900_000, extranonceSize: 8, tag: new Uint8Array(4) },
    outputs: outputs(outputsFor(commitmentOf(encoded))),
  });
  return {
    ...{ coinb1, coinb2, extranonceSize: 8, versionMask: 0x1fffe000, bits: EASY_BITS },
    metadata: encoded as Uint8Array | undefined,
  };
}
