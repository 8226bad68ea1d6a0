import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { loadOrCreateSeed } from '../channel/key-file.ts';
import { nodeIdBytes, SeedSigner, type Signer } from '../channel/signer.ts';
import type { ProxyConfig } from '../config/config.ts';
import { nodeIdOf } from '../contract/sides.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { CONTRACT_KIND, isUnfinished, loadContract, type StoredContract } from '../settlement/records.ts';

type KeyPlace = Pick<ProxyConfig, 'network' | 'dataDir' | 'keys'>;

/**
 * The signer of a daemon, whose node id is logged. Keys are made only for a node that is new: where the
 * configuration names the file, or a ledger lies beside it, the keys were there before. Throws
 * `key_file_missing`, `bad_key_file`.
 */
export function openKeys(
  place: KeyPlace,
  { random, log }: { readonly random: Random; readonly log: Logger },
): SeedSigner {
  assertKeysKnown(place);
  const { seedFile, nodeNumber } = place.keys;
  const message = existsSync(seedFile)
    ? 'the keys of this node'
    : 'made the keys of this node: keep a copy, as `sharestream keys backup` makes it';
  const seed = loadOrCreateSeed(seedFile, random);
  const signer = new SeedSigner({ seed, network: place.network, random, nodeNumber });
  log.info({ node_id: toHex(nodeIdBytes(signer)), key_file: seedFile }, message);
  return signer;
}

/**
 * The node key signs what a contract is bound by, so it is the same until nothing of the contract is left on
 * the chain. Throws `node_key_in_use` for another.
 */
export async function assertNodeKeyFits(ledger: Ledger, signer: Signer): Promise<void> {
  const nodeId = toHex(nodeIdBytes(signer));
  for (const { id } of await ledger.list(CONTRACT_KIND)) {
    const stored = await readable(ledger, id);
    if (stored === undefined) continue;
    const own = nodeIdOf(stored.contract.terms, stored.contract.role);
    if (own === nodeId || !(await isUnfinished(stored, ledger))) continue;
    throw new CodedError('node_key_in_use', `contract ${id} is of node ${own}, not of ${nodeId}`);
  }
}

/** Undefined too for what cannot be read: who serves the contract says so, and mining waits for neither. */
async function readable(ledger: Ledger, contractId: string): Promise<StoredContract | undefined> {
  try {
    return await loadContract(ledger, contractId);
  } catch (error) {
    if (codeOf(error) === 'ledger_corrupt') return undefined;
    throw error;
  }
}

/** Throws `key_file_missing` where keys must be that are not. */
export function assertKeysKnown({ dataDir, keys }: KeyPlace): void {
  if (existsSync(keys.seedFile)) return;
  if (keys.isNamed)
    throw new CodedError('key_file_missing', `${keys.seedFile}, as keys.seed_file says, does not exist`);
  const ledger = join(dataDir, 'ledger.sqlite');
  // The lock is there where a PostgreSQL is used, too.
  if (existsSync(ledger) || existsSync(`${ledger}.lock`))
    throw new CodedError(
      'key_file_missing',
      `${keys.seedFile} does not exist, and ${ledger} is of a node that had keys`,
    );
}
