/**
 * The features beyond the first protocol, each a pair of bits in `session.hello` (as BOLT9): the even bit
 * 2k says that its sender requires the feature, the odd bit 2k + 1 that it supports it. A feature is used
 * where both announce either bit. A bit never changes its meaning.
 */
export const FEATURE_TABLE = [
  {
    name: 'packed_shares',
    bit: 0,
    meaning: 'work.batch carries its shares in one packed field',
  },
  {
    name: 'state_commitments',
    bit: 2,
    meaning:
      'state.sign carries a signed commitment to shares, jobs and faults, and its ack a countersignature',
  },
  { name: 'terms_v3', bit: 4, meaning: 'terms of version 3 are read' },
  {
    name: 'restored_height',
    bit: 6,
    meaning: 'the answer to channel.reestablish says up to which block a restored maker credits no work',
  },
  { name: 'work_binding', bit: 8, meaning: 'the maker gives the jobs, and takes their solutions at once' },
  {
    name: 'fault_log',
    bit: 10,
    meaning: 'a commitment of state.sign has the refused shares, by reason and digest, in its fault log',
  },
  {
    name: 'payout_blocks',
    bit: 12,
    meaning: 'blocks of the miner’s own jobs are shown to the maker at once',
  },
  { name: 'minute_log', bit: 14, meaning: 'each side signs a report of each minute: delivery.minutes' },
  {
    name: 'share_weights',
    bit: 16,
    meaning: 'where targets have a range, a commitment covers what each share is credited for',
  },
  {
    name: 'notices',
    bit: 18,
    meaning: 'either side says that it pauses, and gives notice of the end: contract.pause, .resume, .end',
  },
  { name: 'updates', bit: 20, meaning: 'the terms of a running contract may be updated: contract.update' },
  {
    name: 'auditor',
    bit: 22,
    meaning: 'minute logs are told to an auditor, which rules by them: auditor.*',
  },
  {
    name: 'money_stream',
    bit: 24,
    meaning: 'a side says how it has a contract, as a money stream: contract.stream',
  },
  { name: 'event_log', bit: 26, meaning: 'a commitment has the head of the events of its contract' },
] as const;

/** The name of a feature of the table. */
export type Feature = (typeof FEATURE_TABLE)[number]['name'];

/** The features that both sides of a connection announced. */
export type FeatureSet = ReadonlySet<Feature>;

/** The features of a connection before its handshake, or with a peer that announces none. */
export const NO_FEATURES: FeatureSet = new Set();

/** The feature bits this program announces by default: all it supports, none required. */
export const OFFERED_FEATURES: readonly number[] = [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27];

/** What an auditor announces: whoever connects has to know what it is for; it reads heads of events. */
export const AUDITOR_FEATURES: readonly number[] = [22, 27];

function has(bits: readonly number[], bit: number): boolean {
  return bits.includes(bit) || bits.includes(bit + 1);
}

/** The features that both sides announce. Bits outside the table mean nothing. */
export function commonFeatures(ours: readonly number[], theirs: readonly number[]): FeatureSet {
  const common = FEATURE_TABLE.filter(({ bit }) => has(ours, bit) && has(theirs, bit));
  return new Set(common.map(({ name }) => name));
}

/** A bit that the peer requires and we do not announce; undefined where there is none. */
export function missingFeature(ours: readonly number[], theirs: readonly number[]): number | undefined {
  return theirs.find((bit) => bit % 2 === 0 && !has(ours, bit));
}
