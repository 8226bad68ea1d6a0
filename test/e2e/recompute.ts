import { createHash } from 'node:crypto';

/**
 * Recomputes evidence as a stranger would, from the format in `EVIDENCE.md` alone: nothing of the product is
 * imported.
 */
export type Recomputed = {
  readonly shares: number;
  readonly workHashes: bigint;
  /** Displayed hashes, in order. */
  readonly hashes: readonly string[];
  /** Of each: its work, and the coinbase after its extranonces, by which destinations are told apart. */
  readonly works: readonly { readonly workHashes: bigint; readonly coinb2: string }[];
};

type JobLine = {
  type: 'job';
  job: string;
  version: string;
  prevhash: string;
  coinb1: string;
  coinb2: string;
  merkle_branches: string[];
  nbits: string;
};
type ShareLine = {
  type: 'share';
  seq: number;
  job: string;
  extranonce1: string;
  extranonce2: string;
  ntime: string;
  nonce: string;
  version: string;
  target: string;
  work: string;
  hash: string;
};

const sha256d = (bytes: Buffer): Buffer => {
  const once = createHash('sha256').update(bytes).digest();
  return createHash('sha256').update(once).digest();
};

/** Hex of a big-endian u32 to its little-endian bytes. */
const u32 = (hex: string): Buffer => Buffer.from(hex, 'hex').reverse();

/** Throws at the first share whose hash, target or work does not follow from its job. */
export function recompute(jsonl: string): Recomputed {
  const jobs = new Map<string, JobLine>();
  const hashes: string[] = [];
  const works: { readonly workHashes: bigint; readonly coinb2: string }[] = [];
  let workHashes = 0n;
  for (const line of jsonl.trim().split('\n')) {
    const record = JSON.parse(line) as JobLine | ShareLine;
    if (record.type === 'job') {
      jobs.set(record.job, record);
      continue;
    }
    const hash = hashOf(record, jobs.get(record.job));
    const target = BigInt(`0x${record.target}`);
    if (record.seq !== hashes.length) throw new Error(`seq ${record.seq} at place ${hashes.length}`);
    if (hash !== record.hash) throw new Error(`share ${record.seq} hashes to ${hash}, says ${record.hash}`);
    if (BigInt(`0x${hash}`) > target) throw new Error(`share ${record.seq} misses its target`);
    const work = 2n ** 256n / (target + 1n);
    if (work !== BigInt(record.work)) throw new Error(`share ${record.seq} is ${work} hashes of work`);
    workHashes += work;
    hashes.push(hash);
    works.push({ workHashes: work, coinb2: jobs.get(record.job)!.coinb2 });
  }
  return { shares: hashes.length, workHashes, hashes, works };
}

function hashOf(share: ShareLine, job: JobLine | undefined): string {
  if (job === undefined) throw new Error(`share ${share.seq} before its job ${share.job}`);
  const coinbase = Buffer.from(job.coinb1 + share.extranonce1 + share.extranonce2 + job.coinb2, 'hex');
  let root = sha256d(coinbase);
  for (const branch of job.merkle_branches)
    root = sha256d(Buffer.concat([root, Buffer.from(branch, 'hex')]));
  const header = Buffer.concat([
    u32(share.version),
    Buffer.from(job.prevhash, 'hex').swap32(),
    root,
    u32(share.ntime),
    u32(job.nbits),
    u32(share.nonce),
  ]);
  return sha256d(header).reverse().toString('hex');
}

/** `floor(floor(W * price / 10^18) / 1000)`. */
export function payOf(workHashes: bigint, priceMsatPerEh: bigint): bigint {
  return (workHashes * priceMsatPerEh) / 10n ** 18n / 1000n;
}
