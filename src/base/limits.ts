/**
 * Every bound of the product: what it bounds, why it has this value, and the counter that shows it was hit
 * (`limit_hits_total{limit="..."}` with the key as label).
 */
export const LIMITS = {
  /**
   * ckpool takes 1 KiB, SRI 64 KiB; a submit is under 250 B and the longest honest line (suggest,
   * configure) under 2 KiB.
   */
  downstreamLineBytes: 16 * 1024,
  /** A notify with 32 branches and a 16 KiB coinbase is under 40 KiB; Braidpool's own limit is 64 KiB. */
  upstreamLineBytes: 256 * 1024,
  /** Shares sent upstream and not yet answered, per connection; past it the oldest is given up as lost. */
  upstreamSharesInFlight: 4096,
  /** Bytes waiting for an upstream that does not read: 4096 submits of under 300 B each. */
  upstreamWriteBytes: 1280 * 1024,
  /** Lines that are not Stratum v1, per connection, before it is closed. */
  upstreamGarbageLines: 16,
  /** Bytes of extranonce1, and of extranonce2; a coinbase script holds 100 in all. */
  upstreamExtranonceBytes: 32,
  /**
   * Jobs of one upstream given out in a second; of more only the newest. Braid tips come every 150 ms at
   * most, and each job costs a line to every miner.
   */
  upstreamJobsPerSecond: 20,
  /** Bytes of one answer of a Braidpool node: a bead lists the txids of a block, some 70 B each. */
  braidpoolReplyBytes: 4 * 1024 * 1024,
  /**
   * Bytes of the metadata that a job commits to: it names the txids of a block, of which 8,000 fit. Twice as
   * many characters fit one line to a peer.
   */
  beadMetadataBytes: 256 * 1024,
  /** Unanswered requests to a Braidpool node's JSON-RPC; past it a call fails at once. */
  braidpoolRequestsInFlight: 64,
  /**
   * Accepted shares whose bead is being looked for; past it the oldest is counted as unknown. At 50 a second
   * (256 miners, 12 a minute each) what a node that is away for 20 s has to be asked later.
   */
  watchedBeads: 1024,
  /** Characters of an upstream's job id; real ones are under 40. */
  upstreamJobIdChars: 128,
  /** A work batch of `peerBatchShares` is under 300 KiB. */
  peerLineBytes: 1024 * 1024,
  /** Shares in one `work.batch`; a batch is verified in one kernel call. */
  peerBatchShares: 1024,
  /**
   * Jobs of a contract that a market maker holds in memory: where each miner has jobs of its own, a few
   * batches may name as many. Some 2 KB each.
   */
  peerJobs: 4096,
  /** Jobs of a contract that are not paid and said to be so in the log; then one in ten seconds. */
  peerJobsLogged: 32,
  /** Coins one side brings into a funding; 2 x 64 inputs are under 9 kvB and their count fits one byte. */
  fundingInputs: 64,
  /** Characters of a PSBT in base64: 128 inputs with previous transactions of 2 kB each are under 400 k. */
  psbtChars: 1024 * 1024,
  /** Runs of refused shares between two claims of a seal; a miner pauses long before. */
  refusedRanges: 4096,
  /** Runs of shares refused for one reason between two commitments; each is some 250 bytes of a record. */
  faultRanges: 2048,
  /** Characters of the line of an offer. */
  offerChars: 4096,
  /** Blocks whose fees a maker remembers: a difficulty period, and a week for the volatility. */
  valuedBlocks: 4032,
  /** Quotes of one peer that are not over; a further one takes the place of its oldest. */
  peerQuotes: 4,
  /** Quotes of all peers that are not over, and how many of them may be of peers that are not listed. */
  quotes: 256,
  strangerQuotes: 64,
  /** Quotes that one peer may ask for in a minute, and all peers that are not listed together. */
  peerQuotesPerMinute: 30,
  strangerQuotesPerMinute: 120,
  /** Contracts that metrics have series of, the newest that are not over. */
  contractSeries: 100,
  /**
   * Contracts of a peer that a maker signs at once, twice as many as it serves connections for; one more each
   * ten minutes. Each is a record of some 3 kB, whatever comes of it.
   */
  peerProposals: 64,
  /** Refused proposals and quotes that a maker remembers, for its operator. */
  refusedProposals: 100,
  /** Updates of the terms of one contract, and those that were taken back and are remembered. */
  contractUpdates: 16,
  /** Reports of minutes in one exchange, of some 170 bytes each: four hours. */
  peerMinutes: 240,
  /** Contracts of one node at an auditor, each of some 40 MB a year of minutes. */
  auditorContracts: 256,
  /** Minutes by which the other side's clock may be ahead. */
  minutesAhead: 2,
  /** Entries of the tip log of a contract: two a block for two years, and as many again. */
  tipLogEntries: 262_144,
  /** Headers of one entry: blocks that came while the program was down, a day of them. */
  tipLogHeaders: 144,
  /** Blobs given back at once, newest contracts first; of 10 kB each they fill half a line. */
  peerBlobs: 50,
  /** Characters of a blob that is kept for a peer: 64 KiB in base64. */
  peerBlobChars: 87_376,
  /** Times that the blob of a contract may be replaced; honest peers do so once a connection. */
  peerBlobsPerMinute: 1,
  /**
   * Bytes that a peer may send at once, over all connections of its node key, each line counted as 512 at
   * least; a sixteenth of it each second more, then it is read more slowly. Jobs and shares of 3,300 shares a
   * second are under a third of that.
   */
  peerReadBytes: 32 * 1024 * 1024,
  /** Bytes that are read of one connection before others have their turn: four reads of a socket. */
  peerTurnBytes: 256 * 1024,
  /** Bytes of a connection to a market maker before its peer has proven a node key; honest ones send 2 KB. */
  peerNewcomerBytes: 16 * 1024,
  /**
   * Bytes that refused shares of a contract make a ledger write at once; a sixty-fourth of it each second
   * more. Those since the last commitment are written anew with each batch: up to `faultRanges` of them,
   * where an honest miner has a few.
   */
  peerRefusedBytes: 8 * 1024 * 1024,
  /** Connections to a market maker, unless set otherwise. */
  peerConnections: 1000,
  /** Connections of one address to a market maker; each contract of a proxy has one. */
  peerConnectionsPerAddress: 128,
  /** Those of one address that have not proven a node key; a handshake takes a second. */
  peerNewcomersPerAddress: 16,
  /** Connections of one node key; a proxy has one for each contract that is not at its end. */
  peerConnectionsPerNode: 32,
  /** Bytes of the jobs of a contract that a market maker holds in memory; past it the oldest goes. */
  peerJobBytes: 16 * 1024 * 1024,
  /** Blocks that a market maker's node is asked about for one batch: those of half a day. */
  peerBatchBlocks: 64,
  /** Bytes of coinbases and branches hashed for a peer before others have their turn: some 20 ms. */
  peerHashBytesPerTurn: 4 * 1024 * 1024,
  /** Shares of a contract refused for hash or job, at once; a sixty-fourth of it each second more. */
  peerJunkShares: 4096,
  /**
   * Requests of a peer that cost signatures or questions to the node, at once; a quarter of it each second
   * more. Some 10 ms each, and never two in one turn.
   */
  peerCostlyRequests: 64,
  /** Requests of a connection beyond one of its budgets, in a minute, before it is ended. */
  peerOverruns: 16,
  /**
   * Jobs that a market maker gives for a contract at once, all of a block again where the link was lost; a
   * sixteenth of it each second more.
   */
  peerWorkJobs: 1024,
  /**
   * Processes of a miner for which a market maker holds connections to its pools at once under a contract;
   * one more each 15 seconds.
   */
  peerWorkInstances: 12,
  /** Solutions of a contract that were sent to a pool and are known by hash; half an hour's at most. */
  workSolutions: 65_536,
  /** Credited shares between two commitments that are read again for the next: 20 MB of the log. */
  commitmentShares: 262_144,
  /** Jobs of a contract whose sample a maker remembers over a start, and that wait for their look. */
  payoutSamples: 256,
  /** Blocks a minute of one contract that its maker publishes too, where the network is so easy. */
  payoutBlocksPerMinute: 60,
  /** Unanswered requests per peer connection. */
  peerRequestsInFlight: 256,
  /**
   * Jobs of a contract whose whole block a market maker looks at, at once, four side by side; a quarter of it
   * each second more. Each asks the node for its mempool.
   */
  peerSamples: 32,
  /** Transactions of a block: four million units of weight are 16,600 of the least. */
  templateTransactions: 16_600,
  /** Bytes of the transactions of a block in full that a peer may show: a block is no larger. */
  templateBytes: 4_000_000,
  /** Sessions in all; about 8 KiB each. */
  sessions: 60_000,
  /** A farm may sit behind one NAT address. */
  sessionsPerAddress: 20_000,
  /** Ended sessions kept for ten minutes to be resumed; under 2 KiB each. */
  resumableSessions: 16_384,
  /**
   * Lines in a row that are not Stratum, per connection, before it is closed; no firmware sends two. Each
   * costs as much as a share.
   */
  downstreamGarbageLines: 16,
  /**
   * Bytes read from connections that do not mine yet and not looked at, in a storm; beyond it they are looked
   * at at once.
   */
  newcomerBytes: 16 * 1024 * 1024,
  /** Connections taken a second, unless set otherwise: a farm of 10,000 is back in five seconds. */
  acceptsPerSecond: 2_000,
  /** The same from one address, behind which a whole farm may sit. */
  acceptsPerSecondPerAddress: 1_000,
  /** Lines a second of one session, unless set otherwise: a hundred times what vardiff aims at for a farm. */
  sessionLinesPerSecond: 1_000,
  /** Addresses with a ban, strikes or a rate of connections that are remembered; 200 B each. */
  trackedAddresses: 65_536,
  /**
   * Bytes waiting for a miner that does not read, some ten jobs: past it new jobs wait too, and only the
   * newest of them is kept.
   */
  sessionUnreadBytes: 64 * 1024,
  /** Bytes waiting for a miner that does not read, past which it is cut off: some fifty jobs. */
  sessionWriteBytes: 256 * 1024,
  /** Submits of one session awaiting their commit; real firmware keeps under ten in flight. */
  sessionSharesInFlight: 1024,
  /** Shares hashed in one kernel call. */
  batchShares: 1024,
  /**
   * Shares waiting for the kernel; beyond it submits are answered `overload`. At 250 k/s this is a quarter
   * of a second.
   */
  queuedShares: 65_536,
  /** Shares accepted and waiting for their commit: one second at 250 k/s, under 200 B each. */
  uncommittedShares: 262_144,
  /**
   * Shares sent upstream without being credited (stale, low), kept so that none is sent twice; past it a
   * repeat is sent.
   */
  forwardedHashes: 65_536,
  /** Jobs alive per destination: at 150 ms between tips and 60 s of grace, 400. */
  jobsPerDestination: 512,
  /** A job is refused after this age even if its block is still the tip. */
  jobAgeMs: 15 * 60_000,
  /**
   * Credited hashes that a market maker remembers, over all contracts, 43 to 85 B each and as much again kept
   * for the next block; twice as many at most. They are needed while a share on their block can be credited:
   * some twenty minutes, where 4 M are 3,300 a second.
   */
  peerDuplicateHashes: 4_000_000,
  /** Worker names whose luck is remembered, those seen last; some 300 B each. */
  luckWorkers: 4096,
  /** Header hashes kept for duplicate detection, over all live jobs; 32 B + overhead each. */
  duplicateHashes: 8_000_000,
  /** Merkle branches of a job: 2^32 transactions do not fit a block; ESP-Miner takes 32. */
  merkleBranches: 32,
  /** Bytes of coinb1 + extranonces + coinb2. */
  coinbaseBytes: 32 * 1024,
  /** Characters of a worker name; Whatsminer overflows at 127, DATUM caps at 191. */
  workerNameChars: 191,
  /** Names that sessions authorised beyond one each, in all: some 1 KB a name. */
  extraWorkers: 65_536,
  /** Characters of a user agent kept. */
  userAgentChars: 128,
  /** Ledger writes waiting for a commit; past it shares are refused with `overload`. */
  ledgerQueuedWrites: 100_000,
  /** Bytes of ledger writes waiting for a commit: seconds of a disk at its slowest. */
  ledgerQueuedBytes: 256 * 1024 * 1024,
  /** Bytes of one frame of an evidence file: a commitment with `refusedRanges` of them is under 800 KiB. */
  evidenceFrameBytes: 1024 * 1024,
  /**
   * Hashes of shares that an audit remembers, to find one that was sold twice; 32 to 64 B each. A block has
   * 120,000 at 200 a second.
   */
  auditedHashes: 4_000_000,
  /** Refused shares of states whose commitments one side signed alone, that an audit keeps. */
  auditedRefusals: 262_144,
  /** Bytes of one ledger record. */
  ledgerRecordBytes: 4 * 1024 * 1024,
} as const;

/** How often each was reached, by its name. */
export type LimitHits = Record<string, number>;

/** Counts that a limit was reached. */
export function countHit(hits: LimitHits, limit: string): void {
  hits[limit] = (hits[limit] ?? 0) + 1;
}
