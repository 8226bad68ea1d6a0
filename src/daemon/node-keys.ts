import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { loadOrCreateSeed } from '../channel/key-file.ts';
import { nodeIdBytes, SeedSigner } from '../channel/signer.ts';
import type { ProxyConfig } from '../config/config.ts';
import type { Logger } from '../log/logger.ts';

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
  const { seedFile } = place.keys;
  const message = existsSync(seedFile)
    ? 'the keys of this node'
    : 'made the keys of this node: keep a copy, as `sharestream keys backup` makes it';
  const seed = loadOrCreateSeed(seedFile, random);
  const signer = new SeedSigner({ seed, network: place.network, random });
  log.info({ node_id: toHex(nodeIdBytes(signer)), key_file: seedFile }, message);
  return signer;
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
