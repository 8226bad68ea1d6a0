import { readFileSync } from 'node:fs';

/** What a block of the chain gives as one Stratum job and the share that solves it. See vectors/README.md. */
export type BlockVector = {
  readonly name: string;
  readonly extranonce1: string;
  readonly extranonce2Size: number;
  readonly notify: readonly [
    jobId: string,
    prevHash: string,
    coinb1: string,
    coinb2: string,
    branches: string[],
    version: string,
    bits: string,
    time: string,
    clean: boolean,
  ];
  readonly submit: readonly [
    worker: string,
    jobId: string,
    extranonce2: string,
    time: string,
    nonce: string,
  ];
  readonly header: string;
  readonly hash: string;
  readonly target: string;
};

/** Blocks of mainnet, by height, the genesis block first. */
export function blockVectors(): readonly BlockVector[] {
  return json('blocks.json');
}

export function blockVector(name: 'genesis' | 'block 413567'): BlockVector {
  return blockVectors().find((block) => block.name === name)!;
}

export function difficultyTargets(): readonly { readonly difficulty: string; readonly target: string }[] {
  return json('difficulty-targets.json');
}

/** One hash, as it is shown, as it stands in a header, and as Stratum v1 tells it. */
export function prevHashes(): readonly {
  readonly hash: string;
  readonly header: string;
  readonly stratum: string;
}[] {
  return json('prevhashes.json');
}

/** Consecutive headers of mainnet, in hex. */
export function headers665280(): readonly string[] {
  return text('headers-665280.hex').trim().split('\n');
}

function json<T>(name: string): T {
  return JSON.parse(text(name)) as T;
}

function text(name: string): string {
  return readFileSync(new URL(`vectors/${name}`, import.meta.url), 'utf8');
}
