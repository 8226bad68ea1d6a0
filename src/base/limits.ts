/**
 * Every bound of the product: what it bounds, why it has this value, and the counter that shows it was hit
 * (`limit_hits_total{limit="..."}` with the key as label).
 */
export const LIMITS = {
  /** ckpool takes 1 KiB, SRI 64 KiB; a submit is under 250 B and the longest honest line (suggest, configure) under 2 KiB. */
  downstreamLineBytes: 16 * 1024,
  /** A notify with 32 branches and a 16 KiB coinbase is under 40 KiB; Braidpool's own limit is 64 KiB. */
  upstreamLineBytes: 256 * 1024,
  /** A work batch of `peerBatchShares` is under 300 KiB. */
  peerLineBytes: 1024 * 1024,
  /** Shares in one `work.batch`; a batch is verified in one kernel call. */
  peerBatchShares: 1024,
  /** Unanswered requests per peer connection. */
  peerRequestsInFlight: 256,
  /** Sessions in all; about 8 KiB each. */
  sessions: 60_000,
  /** A farm may sit behind one NAT address. */
  sessionsPerAddress: 20_000,
  /** Bytes waiting for a miner that does not read: some fifty jobs. */
  sessionWriteBytes: 256 * 1024,
  /** Submits of one session awaiting their commit; real firmware keeps under ten in flight. */
  sessionSharesInFlight: 1024,
  /** Shares hashed in one kernel call. */
  batchShares: 1024,
  /** Shares waiting for the kernel; beyond it submits are answered `overload`. At 250 k/s this is a quarter of a second. */
  queuedShares: 65_536,
  /** Jobs alive per destination: at 150 ms between tips and 60 s of grace, 400. */
  jobsPerDestination: 512,
  /** A job is refused after this age even if its block is still the tip. */
  jobAgeMs: 15 * 60_000,
  /** Header hashes kept for duplicate detection, over all live jobs; 32 B + overhead each. */
  duplicateHashes: 8_000_000,
  /** Merkle branches of a job: 2^32 transactions do not fit a block; ESP-Miner takes 32. */
  merkleBranches: 32,
  /** Bytes of coinb1 + extranonces + coinb2. */
  coinbaseBytes: 32 * 1024,
  /** Characters of a worker name; Whatsminer overflows at 127, DATUM caps at 191. */
  workerNameChars: 191,
  /** Characters of a user agent kept. */
  userAgentChars: 128,
  /** Ledger writes waiting for a commit; past it shares are refused with `overload`. */
  ledgerQueuedWrites: 100_000,
  /** Bytes of one ledger record. */
  ledgerRecordBytes: 4 * 1024 * 1024,
} as const;

export type LimitName = keyof typeof LIMITS;
