/**
 * Every coded error of the product, in one table. A code is stable: it is a metric label, a log field and,
 * where the columns say so, the number that goes on the wire.
 *
 * - `stratum`: the Stratum v1 error number sent to an ASIC (field practice, 20 to 25).
 * - `rpc`: the JSON-RPC 2.0 error number sent to a peer (`PROTOCOL.md`).
 * - `http`: the status of an answer of the API that carries it; 422 where there is none.
 * - `hint`: what the reader of the message should do.
 */
export const ERROR_TABLE = {
  // stratum, downstream
  malformed: {
    stratum: 20,
    hint: 'send one JSON object a line with method and params as Stratum v1 defines them',
  },
  line_too_long: {
    stratum: 20,
    hint: 'a line may not exceed the limit; check that lines end with a newline',
  },
  unknown_method: { stratum: 20, hint: 'this method is not supported' },
  stale: { stratum: 21, hint: 'the job was replaced by a new block; check the network delay to the proxy' },
  unknown_job: { stratum: 21, hint: 'the job id was never sent to this session or has expired' },
  duplicate: { stratum: 22, hint: 'this share was already credited' },
  low_difficulty: { stratum: 23, hint: 'the hash does not meet the difficulty of its job' },
  not_authorized: { stratum: 24, hint: 'send mining.authorize with a worker name first' },
  not_subscribed: { stratum: 25, hint: 'send mining.subscribe first' },
  bad_extranonce2: { stratum: 20, hint: 'extranonce2 must have the size given in the subscribe reply' },
  bad_ntime: {
    stratum: 20,
    hint: 'ntime is outside the window of its job; check the clocks of the miner and the proxy',
  },
  bad_version: {
    stratum: 20,
    hint: 'version bits outside the negotiated mask, or rolled without mining.configure',
  },
  overload: { stratum: 20, hint: 'the proxy is over a limit; slow down or raise the limit' },
  kernel_fallback: {
    hint: 'this Node does not compile or run the fast share kernel here; shares cost more time; try the Node that package.json names',
  },
  session_limit: { hint: 'too many connections; raise limits or spread the miners' },
  idle_timeout: { hint: 'the connection was silent for too long' },
  banned: { hint: 'too many invalid shares; the ban expires by itself' },
  slow_reader: { hint: 'the miner does not read what it is sent' },

  // upstream
  upstream_closed: { hint: 'the pool or node closed the connection; it is tried again' },
  upstream_timeout: { hint: 'the pool or node did not answer in time' },
  upstream_protocol: { hint: 'the pool or node sent something that is not Stratum v1' },
  upstream_refused: { hint: 'the pool or node refused the worker name or password' },
  no_work: { hint: 'no pool or node is connected and gives work; see why each is down, or add a fallback' },
  extranonce_too_small: {
    hint: 'this destination leaves too few extranonce2 bytes to be shared; use per_session mode',
  },

  braidpool_unreachable: {
    hint: 'the JSON-RPC port of the Braidpool node does not answer; check its address',
  },
  braidpool_rpc: {
    hint: 'the Braidpool node answered with an error or in an unknown shape; see the message',
  },
  bead_wrong_payout: {
    hint: 'the Braidpool node credits your share to another address; check worker and payout_mode',
  },
  bead_missing: {
    hint: 'the Braidpool node accepted your share and has no bead of it; check that it is in step with its peers',
  },

  // ledger
  ledger_version: {
    hint: 'SQLite below 3.51.3 can corrupt a WAL: use the Node that package.json names; PostgreSQL has to be 15 or newer',
  },
  ledger_settings: {
    hint: 'the database does not keep what it acknowledges; the message names the setting',
  },
  ledger_schema: { hint: 'the database was written by another or a newer program' },
  ledger_io: { hint: 'the ledger could not be written; check the disk, or the server of the ledger' },
  ledger_conflict: { hint: 'another content is already stored under this key' },
  ledger_locked: { hint: 'another process has this ledger open; stop it first' },
  ledger_late: {
    hint: 'writes wait: another program holds the ledger, or its disk, its server or the standby does not answer',
  },
  lease_lost: {
    hint: 'another instance owns this channel now, or may; this one writes, signs and sends nothing for it until it owns it again',
  },
  ledger_closed: { hint: 'the ledger is closed' },
  ledger_corrupt: {
    hint: 'a record does not match its checksum or the hash chain is broken; restore a backup',
  },

  // contract
  bad_offer: { hint: 'paste the whole line as the maker gave it, or ask it for a new one' },
  off_market: {
    hint: 'far below what hashes are worth, or not compared: ask others, set sell.off_market, or say it is meant (--off-market)',
  },
  offer_expired: { hint: 'ask the maker for a new offer' },
  bad_history: {
    hint: 'see `sharestream replay --help` for what the file has to hold; the message names the line',
  },
  bad_terms: { rpc: -32602, hint: 'the contract terms are not acceptable; see the message' },
  maker_halted: { rpc: -32045, hint: 'the maker takes nothing new for now; what runs goes on' },
  no_price: { rpc: -32047, hint: 'the maker has no price for this now: ask again later, or ask another' },
  quote_unknown: {
    rpc: -32046,
    hint: 'the quote is over, or the maker was restarted since: ask for a new one',
  },
  notice_refused: {
    rpc: -32048,
    hint: 'the terms of the contract do not allow this notice, or not so soon; see the message',
  },
  update_conflict: {
    rpc: -32049,
    hint: 'another update waits or holds: see `contract updates`; one at a time, each after the one before',
  },
  update_late: {
    rpc: -32050,
    hint: 'work beyond the point from which the update would hold was taken already: propose it from a later one',
  },
  update_revoked: { rpc: -32051, hint: 'the update was taken back: propose another' },
  update_agreed: { rpc: -32052, hint: 'both have signed the update: only another one can change it' },
  update_unknown: { rpc: -32053, hint: 'no such update waits here' },
  exposure_limit: { hint: 'unpaid verified work reached the limit; hashrate went to the fallback' },

  // channel
  unknown_channel: { rpc: -32010, hint: 'no channel with this id' },
  wrong_state_number: { rpc: -32011, hint: 'a state number must be exactly one above the last' },
  wrong_status: { rpc: -32018, hint: 'the contract is not at a point where this can happen' },
  bad_signature: { rpc: -32012, hint: 'the signature does not verify for this state' },
  not_monotone: { rpc: -32013, hint: 'work or pay of a state is lower than before' },
  over_budget: { rpc: -32014, hint: 'the state pays more than the budget' },
  bad_amount: { rpc: -32015, hint: 'the amounts of the state do not follow from its work' },
  delivery_default: {
    hint: 'by the minute logs of both sides too little was delivered, or not paid; see MARKET.md, Delivery',
  },
  not_ruled: {
    rpc: -32052,
    hint: 'by the logs that the auditor has, this bond is not yours; its owner has it after the delay',
  },
  equivocation: { rpc: -32016, hint: 'two different contents for one state number; keep both as evidence' },
  bad_commitment: {
    rpc: -32017,
    hint: 'the evidence of the two sides differs from what the state commits to; keep the ledger, and ask the peer',
  },
  expiry_near: { rpc: -32030, hint: 'the channel is too close to its expiry' },
  not_begun: { rpc: -32019, hint: 'the work builds on a block before the first of the contract' },
  over_rate: { rpc: -32049, hint: 'the work is beyond the greatest rate of the contract' },
  duration_over: { rpc: -32031, hint: 'the work builds on a block after the last of the contract' },
  channel_frozen: {
    rpc: -32040,
    hint: 'storage failed, or the peer signed two contents: nothing more is promised; the close stays armed',
  },
  bad_funding: { rpc: -32041, hint: 'the funding transaction is not what was agreed' },
  coins_unknown: {
    hint: 'the node still scans for the coins of the wallet; asked again at the next connection',
  },
  insufficient_funds: {
    hint: 'the wallet cannot pay for this: send coins to its address, which `sharestream keys show` prints',
  },
  bad_blob: { hint: 'what the peer keeps was not sealed by this seed for this contract' },
  bonds_at_stake: {
    rpc: -32043,
    hint: 'the maker does not close together so while bonds are at stake: deliver the rest, or close alone',
  },
  funding_unsigned: {
    rpc: -32044,
    hint: 'the funding waits for a wallet elsewhere to sign it; it is asked again',
  },
  bad_psbt: { rpc: -32042, hint: 'the PSBT is not the signing request it answers; see the message' },
  cold_key: {
    hint: 'this key is not in the program: export the request as a PSBT, sign it where the key is, import it',
  },
  not_expired: {
    hint: 'the market maker may take the channel back from its expiry on; until then ask for a cooperative close',
  },
  bad_evidence: {
    hint: 'the file is not an export of `sharestream evidence export`, was altered, or is not whole',
  },
  bad_export: { hint: 'the file is not an export of `sharestream channel export`, or was altered' },
  bad_ladder: {
    hint: 'the ladder file is torn, altered or of a newer program; the next state writes it anew',
  },
  bad_signer_file: {
    hint: 'the memory of the signer is not that of this channel; restore it from the ledger',
  },

  // peering
  unauthenticated: { rpc: -32001, hint: 'the peer did not prove its node key' },
  unknown_peer: { rpc: -32002, hint: 'this node key is not on the list of peers; add it to [peers]' },
  protocol: { rpc: -32600, hint: 'the message does not have the agreed shape' },
  wrong_chain: { rpc: -32003, hint: 'the peer is on another network' },
  too_often: { rpc: -32006, hint: 'the peer asks for more than its budget; it is refused, then cut off' },
  unsupported: { rpc: -32004, hint: 'the peer requires a feature this program does not have' },
  bad_sequence: {
    rpc: -32005,
    hint: 'records arrived out of order; the sender resumes from the acked sequence',
  },
  work_refused: {
    rpc: -32034,
    hint: 'a job of the market maker breaks the terms, and is not mined; the message says which',
  },
  maker_work_down: {
    rpc: -32029,
    hint: 'the market maker gives no work that can be mined; the hashrate is at the fallback until it does',
  },
  share_stale: { rpc: -32020, hint: 'the share builds on a block that was replaced too long ago' },
  stale_race: {
    rpc: -32025,
    hint: 'the share builds on a block that the two sides saw, or saw replaced, at different moments',
  },
  maker_restored: {
    rpc: -32026,
    hint: 'the maker lost a part of its ledger, and may have paid for work on this block before; its fault',
  },
  share_duplicate: { rpc: -32021, hint: 'the share was already credited' },
  share_low: {
    rpc: -32022,
    hint: 'the share does not meet its target, or its target is above the agreed floor',
  },
  share_unbound: {
    rpc: -32023,
    hint: 'the job is none that the contract pays for: its maker’s log says why',
  },
  share_beads: {
    rpc: -32027,
    hint: 'too few beads pay the buyer; see that both Braidpool nodes are in step, and whom the beads pay',
  },
  late_solutions: {
    rpc: -32033,
    hint: "too many solutions first came in a batch, and the maker's pool had them late; a minute for each is not credited",
  },
  pool_target: {
    hint: "shares of the maker's pool are easier than the contract allows: ask the pool for a higher difficulty",
  },
  extranonce_shared: {
    hint: 'the pool gave one extranonce1 to two connections: their shares could not be told apart',
  },
  share_unshown: {
    rpc: -32028,
    hint: 'the transactions of a sampled job were not shown in time; mine templates of the own node',
  },
  share_bad: { rpc: -32024, hint: 'the share cannot be rebuilt from its job' },
  peer_closed: { hint: 'the peer closed the connection; it is tried again' },
  peer_timeout: { hint: 'the peer did not answer in time; the connection is made anew' },

  // chain
  chain_unreachable: { hint: 'the bitcoin node does not answer; check [chain]' },
  chain_rpc: { hint: 'the bitcoin node answered with an error; see the message' },
  chain_network: { hint: 'the bitcoin node is on another network; check [chain] and the network' },
  chain_syncing: { hint: 'the bitcoin node is still catching up with the network; it is asked again' },
  truc_ignored: {
    hint: 'the bitcoin node does not apply the rules of version 3; set mempooltruc=enforce in its bitcoin.conf',
  },
  truc_refused: {
    hint: 'the bitcoin node takes no close: set mempooltruc=enforce, or run Bitcoin Core 28 or newer',
  },
  chain_behind: {
    hint: 'no bitcoin node that answers is at the best tip known; see why the others are away',
  },
  chain_stalled: {
    hint: 'no bitcoin node told of a block for too long; see that one is connected, or name another in [[chain.nodes]]',
  },
  tx_refused: { hint: 'the bitcoin node refused the transaction; see the message' },

  // configuration, command line
  config_invalid: { hint: 'correct the configuration; every problem is listed' },
  config_unreadable: { hint: 'check the path and the permissions of the file' },
  config_placeholder: {
    hint: 'the sample shows what goes there: put in what is yours',
  },
  file_unusable: { hint: 'see that the path is right, what it is, and that this user may use it' },
  bad_key_file: {
    hint: 'the key file must be 64 hex digits or a mnemonic, mode 0600; make one with `sharestream keys new`',
  },
  key_file_missing: {
    hint: 'put the backup of the keys there, or make fresh ones with `sharestream keys new`: a daemon never makes up another node id',
  },
  node_key_in_use: {
    hint: 'put keys.node_number and keys.seed_file back as they were, let every contract end (`channel list`), then change the node key',
  },
  output_refused: {
    hint: 'name a new file on a disk that keeps file modes: what only its owner may read is never written over',
  },
  daemon_unreachable: {
    hint: 'start the daemon of this configuration; `channel force-close` works without it',
  },
  address_in_use: { hint: 'another program listens on this port; choose another' },
  address_unusable: {
    hint: 'nothing can listen on this address here: see that it is of this machine, and that the port is permitted',
  },
  stop_timeout: { hint: 'something did not end in time; the next start goes on from what is on disk' },
  package_missing: {
    hint: 'the simulated chain needs a package that is optional: install with `npm ci`, omitting none',
  },
  daemon_start: { hint: 'its last words are above; correct what they name' },
  log_dropped: {
    hint: 'the disk of the log was full, or its reader stood still; lines of that time are lost',
  },
  usage: { hint: 'see --help' },

  // the HTTP API
  bad_request: { http: 400, hint: 'the request does not fit its schema: see /api/v1/openapi.json' },
  bad_cursor: { http: 400, hint: 'a cursor is the next_cursor of the page before, word for word' },
  unauthorized: {
    http: 401,
    hint: 'send Authorization: Bearer with a token of the data directory; without one only this machine may look',
  },
  forbidden: { http: 403, hint: 'this token may not do that: api-token may everything' },
  forbidden_host: { http: 403, hint: 'this name is not in metrics.allowed_hosts' },
  forbidden_origin: { http: 403, hint: 'pages of other sites may not call this' },
  not_found: { http: 404, hint: 'there is nothing here' },
  method_not_allowed: { http: 405, hint: 'see the Allow header' },
  too_large: { http: 413, hint: 'the body is over the limit' },
  unsupported_media_type: { http: 415, hint: 'send Content-Type: application/json' },
  too_many_requests: { http: 429, hint: 'ask less often: the Retry-After header says when' },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERROR_TABLE;

type ErrorRow = {
  readonly hint: string;
  readonly stratum?: number;
  readonly rpc?: number;
  readonly http?: number;
};
const ROWS: Readonly<Record<ErrorCode, ErrorRow>> = ERROR_TABLE;

/**
 * What the world did wrong: a peer, a disk, a miner, a file. Carries a stable code, never crashes the
 * process.
 */
export class CodedError extends Error {
  readonly code: ErrorCode;
  readonly meta: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    detail?: string,
    meta: Record<string, unknown> = {},
    options?: ErrorOptions,
  ) {
    super(detail === undefined ? code : `${code}: ${detail}`, options);
    this.name = 'CodedError';
    this.code = code;
    this.meta = meta;
  }

  /** What the reader should do about it. */
  get hint(): string {
    return ROWS[this.code].hint;
  }
}

/**
 * The code of anything thrown, for metric labels and logs: coded errors keep theirs, the rest is
 * `internal`.
 */
export function codeOf(error: unknown): ErrorCode | 'internal' {
  return error instanceof CodedError ? error.code : 'internal';
}

/** The Stratum number of a code; 20 ("other") where the table names none. */
export function stratumNumber(code: ErrorCode): number {
  return ROWS[code].stratum ?? 20;
}

/** The JSON-RPC number of a code; -32000 ("server error") where the table names none. */
export function rpcNumber(code: ErrorCode): number {
  return ROWS[code].rpc ?? -32000;
}

/** The HTTP status of a code; 422 where the table names none: it was understood, and cannot be done. */
export function httpStatus(code: ErrorCode): number {
  return ROWS[code].http ?? 422;
}
