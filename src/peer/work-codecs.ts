import { bigToBe, toHex, u32hex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { swapWords } from '../bitcoin/header.ts';
import { MAX_TARGET, targetOfCompact } from '../bitcoin/target.ts';
import { type JobId, parseJobId, printJobId } from '../stratum/job-id.ts';
import {
  bytesUpTo,
  type Codec,
  type CodecValue,
  flag,
  hexOf,
  integer,
  listOf,
  object,
  oneOf,
  text,
} from './codec.ts';

/** The codecs of work that the maker gives: its jobs, and the solutions of them. */

/** A u32 as eight hex digits, big-endian. */
export const u32: Codec<number> = {
  parse: (value) => Number.parseInt(hexOf(4).parse(value), 16),
  print: u32hex,
};

/** A job id, as in `mining.notify`. */
export const jobId: Codec<JobId> = {
  parse: (value) => {
    const id = parseJobId(value);
    if (id === undefined) throw new CodedError('protocol', 'not a job id');
    return id;
  },
  print: printJobId,
};

const hash = bytesUpTo(32, 32);
/** A header's hash in internal byte order; on the wire as in `mining.notify`. */
const prevHash: Codec<Uint8Array> = {
  parse: (value) => swapWords(hash.parse(value)),
  print: (value) => hash.print(swapWords(value)),
};

const targetHex = hexOf(32);
/** A target as 32 bytes, big-endian; zero is none. */
const target: Codec<bigint> = {
  parse: (value) => {
    const read = BigInt(`0x${targetHex.parse(value)}`);
    if (read === 0n || read > MAX_TARGET) throw new CodedError('protocol', 'not a target');
    return read;
  },
  print: (value) => toHex(bigToBe(value, 32)),
};

const coinbasePart = bytesUpTo(LIMITS.coinbaseBytes);

const jobFields = object({
  /** Unique for this contract for ever. */
  id: ['id', jobId],
  version: ['version', u32],
  prevHash: ['prevhash', prevHash],
  coinb1: ['coinb1', coinbasePart],
  coinb2: ['coinb2', coinbasePart],
  branches: ['merkle_branches', listOf(hash, LIMITS.merkleBranches)],
  bits: ['nbits', u32],
  time: ['ntime', u32],
  extranonce1: ['extranonce1', bytesUpTo(LIMITS.upstreamExtranonceBytes)],
  extranonce2Size: ['extranonce2_size', integer(0, LIMITS.upstreamExtranonceBytes)],
  /** Version bits that may be rolled; 0 for none. */
  versionMask: ['version_mask', u32],
  /** At or below it a share is a solution, which the maker's upstream wants at once. */
  upstreamTarget: ['upstream_target', target],
  /** What every share of the job is assigned. */
  shareTarget: ['share_target', target],
  /** Jobs before it are of no use to the upstream: only with another block before it. */
  clean: ['clean', flag],
});
/** A job that the maker gives. */
export type WorkJob = CodecValue<typeof jobFields>;

/** Codec of a job that the maker gives. Throws `protocol`, also for a coinbase or bits that cannot be. */
export const workJobCodec: Codec<WorkJob> = {
  parse: (value) => {
    const job = jobFields.parse(value);
    const size = job.coinb1.length + job.extranonce1.length + job.extranonce2Size + job.coinb2.length;
    if (size > LIMITS.coinbaseBytes) throw new CodedError('protocol', 'the coinbase is too large');
    try {
      targetOfCompact(job.bits);
    } catch (error) {
      throw new CodedError('protocol', (error as Error).message);
    }
    return job;
  },
  print: jobFields.print,
};

/** A contract, and the process of its miner that jobs are for: it may have several. */
const subscription = {
  contractId: ['contract_id', hexOf(32)],
  instance: ['instance', hexOf(16)],
} as const;

const empty = object<Record<never, never>>({});
const code = text(40, /^[a-z_]+$/);

/** What became of a solution, in the words of the upstream, or of the own node. */
export const solutionResult = object(
  { outcome: ['outcome', oneOf('accepted', 'refused', 'timeout', 'lost')] },
  {
    /** The upstream's error number. */
    code: ['code', integer(-(2 ** 31), 2 ** 31)],
    reason: ['reason', text(200)],
    rttMs: ['rtt_ms', integer(0, 2 ** 31)],
  },
);

/** The methods of work that the maker gives; feature `work_binding`. */
export const workMethods = {
  /** To the maker: relay jobs. */
  'work.subscribe': { params: object(subscription), result: empty },
  /** To the miner: a job more. The answer says that it is known there. */
  'work.job': { params: object({ ...subscription, job: ['job', workJobCodec] }), result: empty },
  /** To the miner: these jobs, or `all`, end. The answer says that their sessions were told. */
  'work.gone': {
    params: object(
      { ...subscription, ids: ['ids', listOf(jobId, LIMITS.jobsPerDestination)] },
      { all: ['all', flag], code: ['code', code] },
    ),
    result: empty,
  },
  /** To the maker: a share that meets the target of its upstream, or solves a block. Credits nothing. */
  'work.solution': {
    params: object({
      ...subscription,
      id: ['id', jobId],
      /** The whole extranonce2 of the upstream. */
      extranonce2: ['extranonce2', bytesUpTo(LIMITS.upstreamExtranonceBytes)],
      ntime: ['ntime', u32],
      nonce: ['nonce', u32],
      /** As hashed. */
      version: ['version', u32],
    }),
    result: solutionResult,
  },
} as const;
