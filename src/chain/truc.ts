import { type CodedError, ERROR_TABLE } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';
import type { ChainRpcClient } from './rpc-client.ts';
import { orNotOffered, readInteger, readList, readRecord, readText } from './rpc-fields.ts';
import { type ChainSource, optional } from './source.ts';

/**
 * What a node does about transactions of version 3 (BIP431): it applies their rules, takes them like any
 * other, so that a child of any size hangs on them, or takes none of them.
 */
export type TrucPolicy = 'enforced' | 'ignored' | 'refused';

/** As Bitcoin Knots names them (`mempooltruc`). */
const BY_NAME: Readonly<Record<string, TrucPolicy>> = {
  enforce: 'enforced',
  accept: 'ignored',
  reject: 'refused',
};
/** The first release of Bitcoin Core that has the rules. It has no option to be without them. */
const FIRST_VERSION = 280_000;
/** Of version 3, spends a coin that is nowhere: it is refused, for its version or for the coin. */
const PROBE_HEX = [
  `03000000${'01'}${'11'.repeat(32)}${'00'.repeat(5)}fdffffff`,
  `01a086010000000000160014${'22'.repeat(20)}00000000`,
].join('');

/** Of a bitcoind; undefined where it does not tell. */
export async function trucPolicyOf(client: ChainRpcClient): Promise<TrucPolicy | undefined> {
  if (await isVersionRefused(client)) return 'refused';
  const mempool = await orNotOffered(client.call('getmempoolinfo', []));
  const named = readRecord(mempool ?? {}, 'getmempoolinfo')['truc_policy'];
  if (typeof named === 'string') return BY_NAME[named];
  const network = readRecord(await client.call('getnetworkinfo', []), 'getnetworkinfo');
  if (readInteger(network['version'], 'version') < FIRST_VERSION) return 'refused';
  return /knots/i.test(readText(network['subversion'], 'subversion')) ? undefined : 'enforced';
}

async function isVersionRefused(client: ChainRpcClient): Promise<boolean> {
  const answer = await orNotOffered(client.call('testmempoolaccept', [[PROBE_HEX]]));
  if (answer === undefined) return false;
  const [verdict] = readList(answer, 'testmempoolaccept');
  return /version/i.test(String(readRecord(verdict, 'testmempoolaccept')['reject-reason']));
}

/** A node that can be asked. */
export type TrucAnswering = { trucPolicy(): Promise<TrucPolicy | undefined> };

/** What a warning says, beside the hint of its code. */
const WARNINGS = {
  ignored: { code: 'truc_ignored', why: 'a child of any size may hang on a close' },
  refused: { code: 'truc_refused', why: 'no close leaves by this node' },
} as const;

/** Asks the own node at each tip, and says when the answer is one to act on. Nothing waits for it. */
export class TrucWatch {
  #policy: TrucPolicy | undefined;

  get policy(): TrucPolicy | 'unknown' {
    return this.#policy ?? 'unknown';
  }

  /** Until the source is closed. */
  watch(source: ChainSource & TrucAnswering, log: Logger): void {
    source.watchTip(() => void this.#ask(source, log));
  }

  async #ask(source: TrucAnswering, log: Logger): Promise<void> {
    const noAnswer = ({ code, message: detail }: CodedError): void =>
      log.debug({ code, detail }, 'the node does not say what it does about version 3');
    const policy = await optional(() => source.trucPolicy(), noAnswer);
    if (policy === undefined || policy === this.#policy) return;
    const before = this.#policy;
    this.#policy = policy;
    if (policy === 'enforced') {
      if (before !== undefined) log.info({}, 'the node applies the rules of version 3 again');
      return;
    }
    const { code, why } = WARNINGS[policy];
    const { hint } = ERROR_TABLE[code];
    log.warn({ code, why, hint }, 'the bitcoin node does not apply the rules of version 3');
  }
}
