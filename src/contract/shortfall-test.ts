import { assert } from '../base/assert.ts';

/**
 * The statistical test for a shortfall: whether so little work is explained by chance, asked each minute of a
 * whole contract, with one bound for all the asking.
 *
 * Shares of honest work come by a Poisson process. For a miner that really delivers the part `ratio` of what
 * is due, the likelihood ratio of a minute against one that delivers all of it is
 * `ratio^shares * exp((1 - ratio) * due shares)`; its product over minutes is a martingale of mean 1 where
 * all is delivered, and falls on average where more is. A mixture of such products, over ratios and over the
 * minutes in which the shortfall may have begun, is one too, and by Ville's inequality it reaches
 * `1 / alpha` with a probability of at most alpha, however often one looks. So the chance that an honest
 * miner is ever found in default is at most alpha, for the whole contract.
 *
 * Shares of several difficulties: work is counted in shares of the hardest that the minute allows. Easier
 * ones carry less chance, so that the bound holds (a sum of small jumps strays less than one of great ones).
 */

/** What is compared with honest work: a miner that delivers a part of what is due. */
type Comparison = {
  readonly ratio: number;
  /** Logarithms of the ratio and of the comparison's part of the mixture. */
  readonly logRatio: number;
  readonly logWeight: number;
  /** Evidence per due share, in nats, that such a miner gives on average. */
  readonly divergence: number;
};

/** The ratios and their weights, which sum to 1. A ratio of 0 is silence. */
const WEIGHTS: readonly (readonly [ratio: number, weight: number])[] = [
  [0.95, 0.1],
  [0.9, 0.3],
  [0.8, 0.2],
  [0.65, 0.1],
  [0.5, 0.15],
  [0.25, 0.05],
  [0, 0.1],
];

const COMPARISONS: readonly Comparison[] = WEIGHTS.map(([ratio, weight]) => ({
  ratio,
  logRatio: Math.log(ratio),
  logWeight: Math.log(weight),
  divergence: ratio === 0 ? 1 : ratio * Math.log(ratio) + 1 - ratio,
}));

/** Part of alpha kept for the time after the expected end: a contract may last longer than that. */
const TAIL = 1 / 16;

/** What the test of a contract goes by; from its terms. */
export type ShortfallOptions = {
  /** The probability that an honest miner is found short in the whole contract, above 0 and below 1. */
  readonly alpha: number;
  /** Part of the due work that may be missing besides what chance explains, from 0 and below 1. */
  readonly tolerance: number;
  /** Minutes of a window: alpha is spent in equal parts on the windows of the contract. */
  readonly windowMinutes: number;
  /** Minutes that the contract is expected to last; undefined where it has no duration. */
  readonly expectedMinutes: number | undefined;
};

/** What one minute brought. */
export type DeliveryMinute = {
  /** Work that was due in it, hashes; 0 where nothing was, for whatever reason. */
  readonly dueHashes: number;
  /** Work that was credited in it, hashes. */
  readonly creditedHashes: number;
  /** Expected hashes of the hardest share that could be credited in it. */
  readonly shareHashes: number;
};

/** The evidence of one comparison. */
type Evidence = {
  /** Logarithm of the mixture over the minutes in which the shortfall may have begun. */
  readonly log: number;
  /** Evidence, in nats, that a shortfall of this ratio would have given since the last such minute. */
  readonly sinceStart: number;
  /** Alpha's parts of the minutes since then. */
  readonly unspent: number;
};

/** The test's memory; plain data, so that it can be kept and compared. */
export type ShortfallState = { readonly minutes: number; readonly evidence: readonly Evidence[] };

export const NO_SHORTFALL: ShortfallState = {
  minutes: 0,
  evidence: COMPARISONS.map(() => ({ log: -Infinity, sinceStart: Infinity, unspent: 0 })),
};

/** The state after one more minute. */
export function withMinute(
  options: ShortfallOptions,
  state: ShortfallState,
  minute: DeliveryMinute,
): ShortfallState {
  assert(minute.shareHashes > 0 && minute.dueHashes >= 0 && minute.creditedHashes >= 0, 'delivery_minute');
  const due = (minute.dueHashes * (1 - options.tolerance)) / minute.shareHashes;
  // Time in which nothing is due is no part of the contract: it neither counts nor costs.
  if (due === 0) return state;
  const shares = minute.creditedHashes / minute.shareHashes;
  const part = massOfMinute(options, state.minutes);
  const evidence = COMPARISONS.map((comparison, index) => {
    const { log, sinceStart, unspent } = started(state.evidence[index]!, part);
    return {
      log: log + logOfMinute(comparison, shares, due),
      sinceStart: sinceStart + due * comparison.divergence,
      unspent,
    };
  });
  return { minutes: state.minutes + 1, evidence };
}

/**
 * Evidence of a comparison with this minute as a possible beginning, once one that began at the last would be
 * a nat ahead: nearer ones differ too little to be worth their part of alpha.
 */
function started({ log, sinceStart, unspent }: Evidence, part: number): Evidence {
  const mass = unspent + part;
  if (sinceStart < 1) return { log, sinceStart, unspent: mass };
  return { log: logSum(log, Math.log(mass)), sinceStart: 0, unspent: 0 };
}

/** The part of alpha that is spent on shortfalls that begin in one minute; over all minutes at most 1. */
function massOfMinute({ windowMinutes, expectedMinutes }: ShortfallOptions, minute: number): number {
  const window = Math.floor(minute / windowMinutes);
  const windows = Math.ceil((expectedMinutes ?? 0) / windowMinutes);
  const beyond = window - windows;
  const tail = windows === 0 ? 1 : TAIL;
  const mass = beyond < 0 ? (1 - TAIL) / windows : tail / ((beyond + 1) * (beyond + 2));
  return mass / windowMinutes;
}

/** Logarithm of the likelihood ratio of so many shares where `due` were expected. */
function logOfMinute({ ratio, logRatio }: Comparison, shares: number, due: number): number {
  return shares === 0 ? (1 - ratio) * due : shares * logRatio + (1 - ratio) * due;
}

function logSum(a: number, b: number): number {
  const high = Math.max(a, b);
  return high === -Infinity ? high : high + Math.log(Math.exp(a - high) + Math.exp(b - high));
}

/**
 * The state once a shortfall was made up: its evidence is spent, and so is alpha's part of the minutes so
 * far. The bound of alpha is that of the first finding, so that no later one adds to it.
 */
export function withoutEvidence(state: ShortfallState): ShortfallState {
  return { ...NO_SHORTFALL, minutes: state.minutes };
}

/** Logarithm of the evidence for a shortfall; honest work reaches x with a probability of at most e^-x. */
export function evidenceOf(state: ShortfallState): number {
  return COMPARISONS.reduce((sum, _, index) => logSum(sum, weighed(state, index)), -Infinity);
}

/** Logarithm of the evidence of one comparison, with its part of the mixture. */
function weighed(state: ShortfallState, index: number): number {
  return COMPARISONS[index]!.logWeight + state.evidence[index]!.log;
}

/** Whether the evidence reaches a bound, its logarithm: what is far below it needs no sum. */
export function reaches(state: ShortfallState, bound: number): boolean {
  let strongest = -Infinity;
  for (let index = 0; index < COMPARISONS.length; index += 1)
    strongest = Math.max(strongest, weighed(state, index));
  return strongest + Math.log(COMPARISONS.length) >= bound && evidenceOf(state) >= bound;
}

/** Whether the evidence is beyond what alpha allows. */
export function isShort({ alpha }: ShortfallOptions, state: ShortfallState): boolean {
  return reaches(state, -Math.log(alpha));
}
