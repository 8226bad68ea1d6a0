import { ERROR_TABLE, type ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

/** In front of every name, the defaults of prom-client included. */
export const METRIC_PREFIX = 'sharestream_';

export type MetricRole = 'proxy' | 'maker' | 'watch' | 'auditor';

export type MetricRow = {
  /**
   * Counters only rise while the process lives; gauges do as they like; histograms are observed, not read.
   */
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  /** The values of a label where they form a closed set; a series exists for each of them from the start. */
  readonly values?: Readonly<Record<string, readonly string[]>>;
  readonly buckets?: readonly number[];
  readonly roles: readonly MetricRole[];
  /** Filled by `createMetrics` itself, without a source. */
  readonly builtin?: true;
};

const BOTH = ['proxy', 'maker'] as const;
const EVERY = ['proxy', 'maker', 'watch', 'auditor'] as const;
const CHAIN = ['proxy', 'maker', 'watch'] as const;
const LEDGER = ['proxy', 'maker', 'auditor'] as const;
const AUDITOR = ['auditor'] as const;
const WATCH = ['watch'] as const;
const PROXY = ['proxy'] as const;
const MAKER = ['maker'] as const;

const CODES = Object.keys(ERROR_TABLE) as ErrorCode[];
const ERROR_CODES: readonly string[] = [...CODES, 'internal'];
const PEER_CODES = CODES.filter((code) => 'rpc' in ERROR_TABLE[code]);

/** What a share or submit can be refused for, in the order of the checks. */
const REJECT_REASONS = [
  'malformed',
  'unknown_method',
  'not_subscribed',
  'not_authorized',
  'unknown_job',
  'bad_extranonce2',
  'bad_ntime',
  'bad_version',
  'stale',
  'low_difficulty',
  'duplicate',
  'overload',
] as const satisfies readonly ErrorCode[];

/** Why a connection of a miner ended. */
const CLOSE_REASONS = [
  'line_too_long',
  'session_limit',
  'idle_timeout',
  'banned',
  'slow_reader',
  'closed_by_miner',
  'socket_error',
  'not_stratum',
  'resumed',
  'moved',
  'let_go',
  'shutdown',
] as const;

/** From a commit alone on an idle disk (0.4 ms) to one that makes miners give up. */
const FAST_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] as const;
const POWERS_OF_TWO = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] as const;

/**
 * Every metric, once: names without the prefix. Dashboards, alerts and `METRICS.md` are tested against it.
 */
export const CATALOGUE = {
  build_info: {
    type: 'gauge',
    help: 'Always 1; the labels say what is running.',
    labels: ['version', 'commit', 'node', 'kernel', 'ledger'],
    roles: EVERY,
    builtin: true,
  },
  start_time_seconds: {
    type: 'gauge',
    help: 'When the process started, seconds since the epoch.',
    roles: EVERY,
    builtin: true,
  },
  event_loop_utilization_ratio: {
    type: 'gauge',
    help: 'Share of time the event loop was busy since the last scrape, 0 to 1.',
    roles: EVERY,
    builtin: true,
  },
  metrics_failures_total: {
    type: 'counter',
    help: 'Metrics that could not be read at a scrape.',
    roles: EVERY,
    builtin: true,
  },

  downstream_sessions: { type: 'gauge', help: 'Miners connected.', roles: PROXY },
  downstream_connections_total: {
    type: 'counter',
    help: 'Connections of miners, by what became of them.',
    labels: ['result'],
    values: { result: ['accepted', 'refused'] },
    roles: PROXY,
  },
  downstream_connections_refused_total: {
    type: 'counter',
    help: 'Connections turned away at once, by reason: a denied or banned address, a limit, a bad PROXY header.',
    labels: ['reason'],
    values: {
      reason: [
        ...['denied', 'banned', 'sessions', 'sessions_per_address', 'rate', 'rate_per_address'],
        'bad_proxy_header',
        'let_go',
      ],
    },
    roles: PROXY,
  },
  downstream_disconnects_total: {
    type: 'counter',
    help: 'Connections of miners that ended, by reason.',
    labels: ['reason'],
    values: { reason: CLOSE_REASONS },
    roles: PROXY,
  },
  downstream_bans_total: {
    type: 'counter',
    help: 'Addresses banned for sending nothing valid.',
    roles: PROXY,
  },
  downstream_resumed_total: {
    type: 'counter',
    help: 'Sessions that went on where an earlier connection ended.',
    roles: PROXY,
  },
  downstream_keep_alives_total: {
    type: 'counter',
    help: 'Jobs made only so that miners do not leave for lack of news.',
    roles: PROXY,
  },
  vardiff_retargets_total: {
    type: 'counter',
    help: "Changes of a miner's difficulty.",
    labels: ['direction'],
    values: { direction: ['up', 'down'] },
    roles: PROXY,
  },
  shares_submitted_total: { type: 'counter', help: 'Shares that miners sent.', roles: PROXY },
  shares_accepted_total: { type: 'counter', help: 'Shares that were credited.', roles: BOTH },
  shares_rejected_total: {
    type: 'counter',
    help: 'Shares and requests that were refused, by reason.',
    labels: ['reason'],
    values: { reason: REJECT_REASONS },
    roles: PROXY,
  },
  downstream_work_hashes_total: {
    type: 'counter',
    help: 'Credited work in hashes; its rate is the hashrate in H/s.',
    roles: PROXY,
  },
  blocks_found_total: { type: 'counter', help: 'Shares that solve a block.', roles: PROXY },
  luck_odds_ratio: {
    type: 'gauge',
    help: 'Probability of the least likely luck of a worker (proxy) or contract (maker), times their number; 1 at most.',
    labels: ['solution'],
    values: { solution: ['block', 'upstream'] },
    roles: BOTH,
  },
  share_ack_seconds: {
    type: 'histogram',
    help: 'From the arrival of a submit to its answer, the commit to disk included.',
    buckets: FAST_SECONDS,
    roles: PROXY,
  },
  validation_batch_shares: {
    type: 'histogram',
    help: 'Shares hashed in one call of the kernel.',
    buckets: POWERS_OF_TWO,
    roles: BOTH,
  },
  validation_batch_seconds: {
    type: 'histogram',
    help: 'Time of one call of the kernel with everything around it.',
    buckets: [0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1],
    roles: BOTH,
  },
  validation_queue_shares: { type: 'gauge', help: 'Shares waiting for the kernel.', roles: PROXY },

  job_age_seconds: {
    type: 'gauge',
    help: 'Time since the last job of the destination that miners work for; of several the longest.',
    roles: PROXY,
  },
  upstream_clock_offset_seconds: {
    type: 'gauge',
    help: 'How far the own clock is ahead of the newest job of a destination when it came.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_up: {
    type: 'gauge',
    help: '1 while the destination is connected, authorised and gives work that is not too old.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_shares_total: {
    type: 'counter',
    help: "Shares forwarded to a destination, by the destination's verdict.",
    labels: ['target', 'result'],
    roles: BOTH,
  },
  upstream_combinations_total: {
    type: 'counter',
    help: 'Forwarded shares by our verdict and theirs. We accepted and they rejected: they judge by another rule.',
    labels: ['target', 'verdicts'],
    roles: BOTH,
  },
  upstream_work_hashes_total: {
    type: 'counter',
    help: 'Credited work by destination, in hashes; its rate is the hashrate there in H/s.',
    labels: ['target'],
    roles: BOTH,
  },
  upstream_accepted_work_hashes_total: {
    type: 'counter',
    help: 'Work in hashes of the shares that a pool accepted, by its own difficulty: what it pays for, beside what was credited.',
    labels: ['target'],
    roles: MAKER,
  },
  upstream_late_solutions_total: {
    type: 'counter',
    help: 'Shares for a pool that miners did not show at once, and that were sent when their batch came.',
    labels: ['target'],
    roles: MAKER,
  },
  upstream_connections: {
    type: 'gauge',
    help: 'Connections to a pool that are up; one for each contract and process of a miner.',
    labels: ['target'],
    roles: MAKER,
  },
  upstream_solution_seconds: {
    type: 'histogram',
    help: 'From sending a share to a pool to its verdict.',
    buckets: FAST_SECONDS,
    roles: MAKER,
  },
  contracts_without_work: {
    type: 'gauge',
    help: "Contracts of connected miners, not yet closing, for which none of the maker's pools gives work.",
    roles: MAKER,
  },
  upstream_sessions: {
    type: 'gauge',
    help: 'Miners that work for a destination.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_wanted_hashes_per_second: {
    type: 'gauge',
    help: 'Hashrate that a destination is to get while the hashrate is split by weight or rate.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_reject_ratio: {
    type: 'gauge',
    help: 'Moving part of the answers that were not true, silence included, 0 to 1.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_round_trip_seconds: {
    type: 'gauge',
    help: 'Moving mean of the time to an answer.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_connects_total: {
    type: 'counter',
    help: 'Connections to a destination that were tried.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_disconnects_total: {
    type: 'counter',
    help: 'Connections to a destination that ended and attempts that failed, by reason.',
    labels: ['target', 'reason'],
    roles: PROXY,
  },
  upstream_resumed_total: {
    type: 'counter',
    help: 'Sessions at a destination that were taken up again, with the shares that had no answer.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_redirects_refused_total: {
    type: 'counter',
    help: 'Requests of a destination to connect to another host that were not followed.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_dropped_lines_total: {
    type: 'counter',
    help: 'Lines of a destination that made no sense or name an unknown method; the log has samples.',
    labels: ['target'],
    roles: PROXY,
  },
  upstream_failovers_total: {
    type: 'counter',
    help: 'Times that the hashrate was moved to other destinations.',
    roles: PROXY,
  },
  upstream_session_moves_total: {
    type: 'counter',
    help: 'Miners moved one by one to keep the hashrate split by weight or rate.',
    roles: PROXY,
  },

  upstream_links: {
    type: 'gauge',
    help: 'Connections to a destination that leaves too little extranonce2 to be shared: of miners, and spare.',
    labels: ['target', 'state'],
    roles: PROXY,
  },
  upstream_links_refused_total: {
    type: 'counter',
    help: 'Miners that got none of these, since there were too many.',
    labels: ['target'],
    roles: PROXY,
  },
  braidpool_up: {
    type: 'gauge',
    help: '1 while the JSON-RPC of the Braidpool node answers.',
    labels: ['target'],
    roles: PROXY,
  },
  braidpool_subscribed: {
    type: 'gauge',
    help: '1 while the Braidpool node tells of new beads by itself.',
    labels: ['target'],
    roles: PROXY,
  },
  braidpool_shares_total: {
    type: 'counter',
    help: 'Shares the Braidpool node accepted, by what became of them: a bead that pays you, or another, or none.',
    labels: ['target', 'outcome'],
    roles: PROXY,
  },
  braidpool_beads: {
    type: 'gauge',
    help: 'Beads in the braid, as its node sees it.',
    labels: ['target'],
    roles: PROXY,
  },
  braidpool_cohorts: {
    type: 'gauge',
    help: 'Cohorts in the braid.',
    labels: ['target'],
    roles: PROXY,
  },
  braidpool_tips: {
    type: 'gauge',
    help: 'Beads of the braid that nobody built upon yet.',
    labels: ['target'],
    roles: PROXY,
  },
  braidpool_orphans: {
    type: 'gauge',
    help: 'Beads that wait for their parents at the node.',
    labels: ['target'],
    roles: PROXY,
  },

  contract_state: {
    type: 'gauge',
    help: 'Contracts in each state.',
    labels: ['state'],
    values: { state: ['pending', 'live', 'paused', 'ending', 'ended'] },
    roles: BOTH,
  },
  contract_delivery_state: {
    type: 'gauge',
    help: 'Contracts with rules of delivery by its course in the own view.',
    labels: ['state'],
    values: { state: ['live', 'suspect', 'cure', 'default'] },
    roles: BOTH,
  },
  contract_leaving_gain_sats: {
    type: 'gauge',
    help: 'What a side would gain by leaving the contracts that run, at the value of hashes of today, in sats.',
    labels: ['side'],
    values: { side: ['miner', 'maker'] },
    roles: BOTH,
  },
  contract_leaving_forfeit_sats: {
    type: 'gauge',
    help: 'What it would lose by that, in sats: of its bonds what has not vested, and of a miner what is unpaid.',
    labels: ['side'],
    values: { side: ['miner', 'maker'] },
    roles: BOTH,
  },
  contract_leaving_bond_needed_sats: {
    type: 'gauge',
    help: 'The bond that would have to be locked now for a side to gain nothing by leaving, in sats.',
    labels: ['side'],
    values: { side: ['miner', 'maker'] },
    roles: BOTH,
  },
  contract_leaving_pays: {
    type: 'gauge',
    help: 'Contracts that a side would gain by leaving now: more than it would lose.',
    labels: ['side'],
    values: { side: ['miner', 'maker'] },
    roles: BOTH,
  },
  hash_value_msat_per_eh: {
    type: 'gauge',
    help: 'The value of an EH on the newest buried day of the chain, in msat; absent while it is not known.',
    roles: BOTH,
  },
  contract_delivered_work_hashes_total: {
    type: 'counter',
    help: 'Verified work delivered under contracts, in hashes.',
    roles: BOTH,
  },
  contract_work_hashes: {
    type: 'gauge',
    help: 'Work that the contracts which have not ended ask for in all, in hashes.',
    roles: BOTH,
  },
  contract_stream_state: {
    type: 'gauge',
    help: '1 for the state that a contract is in; series by contract are of the newest hundred that are not over.',
    labels: ['contract', 'state'],
    roles: BOTH,
  },
  contract_paid_sats: {
    type: 'gauge',
    help: 'Pay of a contract by its newest signed state.',
    labels: ['contract'],
    roles: BOTH,
  },
  contract_unpaid_work_hashes: {
    type: 'gauge',
    help: 'Work of a contract, delivered (proxy) or credited (maker), that no signed state covers.',
    labels: ['contract'],
    roles: BOTH,
  },
  contract_exposure_sats: {
    type: 'gauge',
    help: 'What that work earns, each part at the price that both signed for it.',
    labels: ['contract'],
    roles: BOTH,
  },
  contract_price_msat_per_eh: {
    type: 'gauge',
    help: 'Newest price of a contract; of one that moves the least until the first is signed.',
    labels: ['contract'],
    roles: BOTH,
  },
  contract_delivery_hashes: {
    type: 'gauge',
    help: 'Work of a contract: done, still owed of its total, and missing by its rules of delivery.',
    labels: ['contract', 'kind'],
    roles: BOTH,
  },
  market_quotes_total: {
    type: 'counter',
    help: 'Quotes of a maker by what became of them; one is replaced where its peer asks for too many.',
    labels: ['result'],
    values: { result: ['asked', 'quoted', 'refused', 'taken', 'expired', 'replaced'] },
    roles: MAKER,
  },
  market_refused_terms_total: {
    type: 'counter',
    help: 'Quotes and proposals that a maker refused, by the term; none: for another reason.',
    labels: ['term'],
    roles: MAKER,
  },
  market_quotes_live: { type: 'gauge', help: 'Quotes that hold.', roles: MAKER },
  market_inventory_hashes: {
    type: 'gauge',
    help: 'Work that a maker bought and has not been delivered yet.',
    roles: MAKER,
  },
  market_rate_hashes_per_second: {
    type: 'gauge',
    help: 'Hashrate that contracts take now, and the most at any time from now on.',
    labels: ['when'],
    values: { when: ['now', 'peak'] },
    roles: MAKER,
  },
  pool_unpaid_work_hashes: {
    type: 'gauge',
    help: 'Work credited for the jobs of a pool that it has not paid for, by `maker paid`.',
    labels: ['target'],
    roles: MAKER,
  },
  metering_state: {
    type: 'gauge',
    help: 'Contracts without money in each state.',
    labels: ['state'],
    values: { state: ['live', 'ending', 'ended'] },
    roles: BOTH,
  },
  metering_work_hashes: {
    type: 'gauge',
    help: 'Work of contracts without money that the maker verified, and that both signed, in hashes.',
    labels: ['kind'],
    values: { kind: ['verified', 'signed'] },
    roles: BOTH,
  },
  channel_state: {
    type: 'gauge',
    help: 'Channels in each state; frozen: suspended or broken, whatever else it is.',
    labels: ['state'],
    values: { state: ['opening', 'funding', 'open', 'closing', 'closed', 'failed', 'frozen'] },
    roles: BOTH,
  },
  channel_faults: {
    type: 'gauge',
    help: 'Channels with money in them that take no work: suspended by an own fault, broken by the other side.',
    labels: ['type'],
    values: { type: ['suspended', 'broken'] },
    roles: BOTH,
  },
  channel_balance_sats: {
    type: 'gauge',
    help: 'Sats of each side by the newest signed state of the open channels.',
    labels: ['side'],
    values: { side: ['miner', 'maker'] },
    roles: BOTH,
  },
  channel_updates_total: {
    type: 'counter',
    help: 'Channel states, by what became of them.',
    labels: ['result'],
    values: { result: ['signed', 'refused'] },
    roles: BOTH,
  },
  channel_unsigned_sats: {
    type: 'gauge',
    help: 'What delivered work earned that no signed state covers yet: the exposure of a proxy, owed by a maker.',
    roles: BOTH,
  },
  channel_unsigned_limit_sats: {
    type: 'gauge',
    help: 'Exposure at which the proxy stops delivering.',
    roles: PROXY,
  },
  channel_expiry_blocks: {
    type: 'gauge',
    help: 'Blocks left of the channel that expires first, by the clock where no node tells; absent without one.',
    roles: BOTH,
  },
  work_jobs_refused_total: {
    type: 'counter',
    help: 'Jobs and withdrawals of the market maker that break the terms, by what they break.',
    labels: ['reason'],
    roles: PROXY,
  },
  work_solution_seconds: {
    type: 'histogram',
    help: "From a solution of a job of the market maker to the verdict of the maker's pool.",
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    roles: PROXY,
  },
  contracts_at_exposure_limit: {
    type: 'gauge',
    help: 'Contracts to which nothing is delivered, since too much of their work is unpaid.',
    roles: PROXY,
  },
  contracts_without_peer: {
    type: 'gauge',
    help: 'Contracts that need their other side and have no connection to it.',
    roles: BOTH,
  },
  market_peer_up: {
    type: 'gauge',
    help: 'Peers connected: the market maker of a proxy, the miners of a maker.',
    roles: BOTH,
  },
  market_protocol_errors_total: {
    type: 'counter',
    help: 'Requests of miners, and attempts to connect, that were answered with an error, by code.',
    labels: ['code'],
    values: { code: PEER_CODES },
    roles: MAKER,
  },

  ledger_commit_seconds: {
    type: 'histogram',
    help: 'Time of one durable commit.',
    buckets: FAST_SECONDS,
    roles: LEDGER,
  },
  ledger_commits_total: { type: 'counter', help: 'Durable commits.', roles: LEDGER },
  ledger_rows_total: { type: 'counter', help: 'Rows written.', roles: LEDGER },
  ledger_queue_rows: { type: 'gauge', help: 'Writes waiting for a commit.', roles: LEDGER },
  ledger_last_commit_timestamp_seconds: {
    type: 'gauge',
    help: 'When the last commit was durable, seconds since the epoch.',
    roles: LEDGER,
  },
  ledger_failed: {
    type: 'gauge',
    help: '1 since a write of the ledger failed, or none can be made; a new start mends it.',
    roles: LEDGER,
  },
  ledger_sealed_rows_total: {
    type: 'counter',
    help: 'Rows moved from the journal into compressed segments.',
    roles: BOTH,
  },
  ledger_sealing_failures_total: {
    type: 'counter',
    help: 'Times that old rows could not be sealed or let go of; tried again after a minute.',
    roles: BOTH,
  },
  disk_free_bytes: {
    type: 'gauge',
    help: 'Free space where the ledger is. Absent where it cannot be asked for.',
    roles: LEDGER,
  },
  disk_full_seconds: {
    type: 'gauge',
    help: 'Time until that space is used up, as it shrank in the last day. Absent while it does not.',
    roles: LEDGER,
  },
  ledger_backup_timestamp_seconds: {
    type: 'gauge',
    help: 'When `sharestream ledger backup` last made one, seconds since the epoch; when the ledger was made where none.',
    roles: LEDGER,
  },
  ledger_held: {
    type: 'gauge',
    help: '1 while the ledger writes nothing: a proxy refuses shares, and nothing is sold or bought.',
    roles: BOTH,
  },
  miners_let_go: {
    type: 'gauge',
    help: '1 while miners are sent to their own backups, since nothing that they send can be kept.',
    roles: PROXY,
  },
  log_blocked: {
    type: 'gauge',
    help: '1 while the log cannot be written: its lines wait, and are dropped when they are too many.',
    roles: EVERY,
  },
  log_dropped_lines_total: {
    type: 'counter',
    help: 'Lines of the log that could not be written in time, and are lost.',
    roles: EVERY,
  },
  waiting_parts: {
    type: 'gauge',
    help: '1 for a part of the daemon that is not there yet, and is tried again: the page, the contract.',
    labels: ['part'],
    values: { part: ['page', 'contract'] },
    roles: EVERY,
  },
  close_only: {
    type: 'gauge',
    help: '1 while the ledger cannot be used: channels are closed from their files, and no contract is served.',
    roles: BOTH,
  },
  close_only_ladders: {
    type: 'gauge',
    help: 'Channels that are closed from their files, since no contract of this program serves them.',
    roles: BOTH,
  },
  chain_tip_height: {
    type: 'gauge',
    help: 'Height of the best block that any bitcoin node knows.',
    roles: CHAIN,
  },
  chain_projected_height: {
    type: 'gauge',
    help: 'Height that the chain must have by the clock; that of the tip where nothing is projected.',
    roles: CHAIN,
  },
  chain_tip_age_seconds: {
    type: 'gauge',
    help: 'Time since any bitcoin node told of a higher tip.',
    roles: CHAIN,
  },
  chain_block_interval_seconds: {
    type: 'gauge',
    help: 'Mean time between blocks by the configuration; 0 where nothing is expected of the chain.',
    roles: CHAIN,
  },
  chain_stalled: {
    type: 'gauge',
    help: '1 while no bitcoin node hears of blocks for longer than can be chance: no new work is delivered.',
    roles: CHAIN,
  },
  chain_node_up: {
    type: 'gauge',
    help: '1 while a bitcoin node answers, is on the right chain and neither catches up nor stands still.',
    labels: ['node'],
    roles: CHAIN,
  },
  chain_node_height: {
    type: 'gauge',
    help: 'Height of the last block that a bitcoin node told of.',
    labels: ['node'],
    roles: CHAIN,
  },
  watch_ladder_age_seconds: {
    type: 'gauge',
    help: 'Time since a ladder file was written, by the clocks of both machines; none of a refund or a closed channel.',
    labels: ['contract'],
    roles: WATCH,
  },
  watch_ladder_expiry_blocks: {
    type: 'gauge',
    help: 'Blocks until a watched channel expires; none once it is closed.',
    labels: ['contract'],
    roles: WATCH,
  },
  watch_ladders: {
    type: 'gauge',
    help: 'Watched channels by where they stand; missing means that no node shows the channel or what spends it.',
    labels: ['state'],
    values: { state: ['waiting', 'closing', 'closed', 'missing'] },
    roles: WATCH,
  },
  watch_broadcasts_total: {
    type: 'counter',
    help: 'Closes that were sent, by what the nodes said.',
    labels: ['result'],
    values: { result: ['taken', 'refused', 'unreachable'] },
    roles: WATCH,
  },
  watch_file_problems: {
    type: 'gauge',
    help: 'Files and folders that cannot be read, or are no ladder, at present.',
    roles: WATCH,
  },
  auditor_contracts: {
    type: 'gauge',
    help: 'Contracts of an auditor by who is in default, or that nobody is, or that the logs do not say.',
    labels: ['verdict'],
    values: { verdict: ['none', 'undecided', 'miner', 'maker'] },
    roles: AUDITOR,
  },
  auditor_minutes_total: {
    type: 'counter',
    help: 'Minutes of logs that an auditor was told.',
    roles: AUDITOR,
  },
  auditor_signed_total: { type: 'counter', help: 'Bonds that an auditor signed away.', roles: AUDITOR },
  auditor_refused_total: {
    type: 'counter',
    help: 'Bonds that a side asked for and an auditor did not give it.',
    roles: AUDITOR,
  },
  limit_hits_total: {
    type: 'counter',
    help: 'Times that a limit of base/limits.ts was reached.',
    labels: ['limit'],
    values: { limit: Object.keys(LIMITS) },
    roles: BOTH,
  },
  errors_total: {
    type: 'counter',
    help: 'Warnings and errors of the log, held back ones too, and what miners were refused, by their stable code.',
    labels: ['code'],
    values: { code: ERROR_CODES },
    roles: EVERY,
  },
} as const satisfies Readonly<Record<string, MetricRow>>;

export type MetricName = keyof typeof CATALOGUE;

export const METRIC_ROWS: Readonly<Record<MetricName, MetricRow>> = CATALOGUE;

/** The catalogue as a Markdown table, for `config/prometheus/METRICS.md`. */
export function metricTable(): string {
  const rows = Object.entries(METRIC_ROWS).map(([name, row]) => {
    const labels = (row.labels ?? []).map((label) => `\`${label}\``).join(', ');
    return `| \`${METRIC_PREFIX}${name}\` | ${row.type} | ${labels} | ${row.roles.join(', ')} | ${row.help} |`;
  });
  return `${['| Metric | Type | Labels | Role | Meaning |', '|---|---|---|---|---|', ...rows].join('\n')}\n`;
}
