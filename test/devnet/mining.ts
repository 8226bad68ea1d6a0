import { createHash } from 'node:crypto';
import { Grinder } from '../../src/devnet/hashing/grinder.ts';
import type { Message } from './raw-client.ts';

const sha256d = (bytes: Uint8Array): Buffer => {
  const inner = createHash('sha256').update(bytes).digest();
  return createHash('sha256').update(inner).digest();
};

const le32 = (hex: string): Buffer => Buffer.from(hex, 'hex').reverse();

export type Found = {
  readonly jobId: string;
  readonly extranonce2: string;
  readonly ntime: string;
  readonly nonce: string;
  /** As displayed. */
  readonly hash: string;
};

/** Mines a `mining.notify` from its text alone, sharing no header code with the simulator. */
export function mine(
  notify: Message,
  work: {
    readonly extranonce1: string;
    readonly extranonce2: string;
    readonly version?: string;
    /** True for the hash (as a number) that is looked for. */
    readonly fits: (hash: bigint) => boolean;
  },
): Found {
  const [jobId, prevHash, coinb1, coinb2, branches, version, bits, ntime] = notify['params'] as [
    string,
    string,
    string,
    string,
    string[],
    string,
    string,
    string,
  ];
  const coinbase = Buffer.from(coinb1 + work.extranonce1 + work.extranonce2 + coinb2, 'hex');
  const root = branches.reduce(
    (node, branch) => sha256d(Buffer.concat([node, Buffer.from(branch, 'hex')])),
    sha256d(coinbase),
  );
  const previous = Buffer.from(prevHash, 'hex').swap32();
  const header = Buffer.concat([
    le32(work.version ?? version),
    previous,
    root,
    le32(ntime),
    le32(bits),
    Buffer.alloc(4),
  ]);
  const all = (1n << 256n) - 1n;
  const grinder = new Grinder();
  grinder.setHeader(header, all);
  for (let nonce = 0; nonce < MAX_NONCES; nonce += 1) {
    const hash = sha256d(grinder.header(nonce)).reverse().toString('hex');
    if (!work.fits(BigInt(`0x${hash}`))) continue;
    return {
      jobId,
      extranonce2: work.extranonce2,
      ntime,
      nonce: nonce.toString(16).padStart(8, '0'),
      hash,
    };
  }
  throw new Error('no hash of this kind in sight');
}

/** Far more than any test needs; a target that cannot be met fails instead of hanging. */
const MAX_NONCES = 3_000_000;

export function submitParams(worker: string, found: Found, versionBits?: string): string[] {
  const { jobId, extranonce2, ntime, nonce } = found;
  return [worker, jobId, extranonce2, ntime, nonce, ...(versionBits === undefined ? [] : [versionBits])];
}
