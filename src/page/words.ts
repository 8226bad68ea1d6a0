/** What is said of a word of the daemon, and what to do about it. */
type Said = { readonly says: string; readonly todo: string };

/** Why shares are rejected. Codes are those of the table of errors. */
export const REJECTS: Readonly<Record<string, Said>> = {
  stale: {
    says: 'the job was replaced by a new block before the share came',
    todo: 'look at the network between miner and proxy; some of them are normal',
  },
  low_difficulty: {
    says: 'the hash does not meet the difficulty of its job',
    todo: 'look at the firmware: it takes a difficulty late, or computes wrongly',
  },
  duplicate: {
    says: 'the same header was credited before',
    todo: 'two machines with the same extranonce behind another proxy, or a faulty board',
  },
  unknown_job: {
    says: 'the job was never sent to this connection, or is long over',
    todo: 'the miner holds on to work of another connection: restart it',
  },
  bad_ntime: {
    says: 'the time of the header is outside the window of its job',
    todo: 'set the clocks of miner and proxy; some firmware rolls the time too far',
  },
  bad_version: {
    says: 'version bits outside the mask that was agreed',
    todo: 'switch version rolling off on the miner, or update its firmware',
  },
  bad_extranonce2: { says: 'the extranonce has the wrong size', todo: 'update the firmware of the miner' },
  malformed: { says: 'the line is no Stratum v1', todo: 'see what speaks to this port' },
  not_subscribed: { says: 'a share before mining.subscribe', todo: 'restart the miner' },
  not_authorized: { says: 'a share before mining.authorize', todo: 'check the worker name of the miner' },
  overload: {
    says: 'the proxy is over a limit, or its ledger does not write',
    todo: 'see the ledger under System; raise the limit if the machine has room',
  },
};

/** Of a contract. */
export const STATES: Readonly<Record<string, string>> = {
  pending: 'waits for its channel',
  live: 'runs',
  paused: 'is paused: nothing is delivered for it',
  ending: 'ends',
  ended: 'is over',
};

/** Of its channel. */
export const CHANNELS: Readonly<Record<string, string>> = {
  none: 'there is none yet',
  proposed: 'is agreed, not funded',
  opening: 'its funding is made',
  funding: 'its funding waits for confirmations',
  open: 'is open',
  closing: 'its close waits for confirmations',
  closed: 'is closed',
  failed: 'never opened',
};
