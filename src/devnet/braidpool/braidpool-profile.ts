/**
 * What a Braidpool node does differently from other pools and from its own specification, each by itself.
 */
export type BraidpoolQuirks = {
  /** A request whose id is not an unsigned integer, or that has no `params`, is logged and gets no reply. */
  readonly silentOnBadRequests: boolean;
  /**
   * `mining.configure` takes exactly two parameters, and a min-bit-count only as a string of eight hex
   * digits.
   */
  readonly strictConfigure: boolean;
  /** The mask of a configure reply is a decimal text, not eight hex digits. */
  readonly decimalMask: boolean;
  /** `mining.suggest_difficulty` is answered by a `mining.set_difficulty` without id and result. */
  readonly bareSuggestReply: boolean;
  /** Errors are strings instead of `[code, message, data]`. */
  readonly stringErrors: boolean;
  /** Notifications have no `id` member; otherwise it is null. */
  readonly notificationsWithoutId: boolean;
  /** Each successful request but submit is followed by a `mining.notify` once subscribed and authorised. */
  readonly repeatedNotify: boolean;
  /** `clean_jobs` is false even on a new block. */
  readonly neverClean: boolean;
  /** Once version rolling is configured a submit without version bits is an error. */
  readonly versionBitsMandatory: boolean;
  /** A hash above the target is answered `false` instead of an error. */
  readonly falseWhenAboveTarget: boolean;
  /** A share sent twice is answered `true` twice. */
  readonly duplicatesAccepted: boolean;
  /** ntime and nonce may lack leading zeros. */
  readonly unpaddedNumbers: boolean;
  /** Eight random bytes as extranonce1; otherwise a counter. */
  readonly randomExtranonce1: boolean;
  readonly extranonce1Size: number;
  readonly extranonce2Size: number;
  /** A bead's parents are the tips when its share arrives; otherwise those its job was made on. */
  readonly parentsAtSubmit: boolean;
  /** `addbead` asks for a hash below the header's nBits; otherwise below the bead's weak target. */
  readonly beadsNeedNetworkTarget: boolean;
  /** A bead counts as a whole block of nBits in `total_work`; otherwise as its weak target. */
  readonly workFromNetworkTarget: boolean;
  /** `weak_target` and `min_target` are the constant 1d00ffff; otherwise what the job was sent with. */
  readonly placeholderTargets: boolean;
  /**
   * The coinbase commits to the metadata of the bead that a share of the job would be, with the user name of
   * `authorize` for its payout address, so that each connection has jobs of its own; the RPC tells the
   * metadata of a commitment (`BRAIDPOOL.md`, A13). Otherwise a text stands in its place.
   */
  readonly commitsMetadata: boolean;
  /** Audit mode: `mining.set_extranonce` at each job of the upstream, even when nothing changed. */
  readonly repeatedSetExtranonce: boolean;
  /** Audit mode: jobs of the upstream go to every connection, subscribed or not. */
  readonly notifiesUnsubscribed: boolean;
  /** Results of the RPC are texts that hold JSON, as those of nodes before 2026. In no profile. */
  readonly textResults: boolean;
  /** Pays every bead to this address, whoever found it: of a build on regtest. In no profile. */
  readonly fixedPayoutAddress: string | undefined;
  /** Only the five oldest methods of the RPC are there, and no subscription. */
  readonly fewMethods: boolean;
};

export type BraidpoolProfileName = 'asIs' | 'spec' | 'of2025';

const AS_IS: BraidpoolQuirks = {
  silentOnBadRequests: true,
  strictConfigure: true,
  decimalMask: false,
  bareSuggestReply: true,
  stringErrors: true,
  notificationsWithoutId: true,
  repeatedNotify: true,
  neverClean: true,
  versionBitsMandatory: true,
  falseWhenAboveTarget: true,
  duplicatesAccepted: true,
  unpaddedNumbers: true,
  randomExtranonce1: true,
  extranonce1Size: 8,
  extranonce2Size: 8,
  parentsAtSubmit: true,
  beadsNeedNetworkTarget: true,
  workFromNetworkTarget: true,
  placeholderTargets: true,
  commitsMetadata: false,
  repeatedSetExtranonce: true,
  notifiesUnsubscribed: true,
  textResults: false,
  fixedPayoutAddress: undefined,
  fewMethods: false,
};

/**
 * `asIs` is the server as its code of July 2026 behaves; `of2025` as its build c00d251 of November 2025 did;
 * `spec` is what its specification asks for.
 */
export const BRAIDPOOL_PROFILES: Readonly<Record<BraidpoolProfileName, BraidpoolQuirks>> = {
  asIs: AS_IS,
  of2025: { ...AS_IS, decimalMask: true, fewMethods: true, extranonce1Size: 4, extranonce2Size: 4 },
  spec: {
    silentOnBadRequests: false,
    strictConfigure: false,
    decimalMask: false,
    bareSuggestReply: false,
    stringErrors: false,
    notificationsWithoutId: false,
    repeatedNotify: false,
    neverClean: false,
    versionBitsMandatory: false,
    falseWhenAboveTarget: false,
    duplicatesAccepted: false,
    unpaddedNumbers: false,
    randomExtranonce1: false,
    extranonce1Size: 8,
    extranonce2Size: 8,
    parentsAtSubmit: false,
    beadsNeedNetworkTarget: false,
    workFromNetworkTarget: false,
    placeholderTargets: false,
    commitsMetadata: true,
    repeatedSetExtranonce: false,
    notifiesUnsubscribed: false,
    textResults: false,
    fixedPayoutAddress: undefined,
    fewMethods: false,
  },
};

export const BRAIDPOOL_VERSION_MASK = 0x1fffe000;
/** Templates a submit may still refer to. */
export const BRAIDPOOL_TEMPLATES = 90;
export const BRAIDPOOL_MAX_LINE_BYTES = 65_536;
/** What the coinbase commits to today instead of the bead's metadata: these 32 bytes, literally. */
export const BRAIDPOOL_COMMITMENT = 'braidpool_bead_metadata_hash_32b';
