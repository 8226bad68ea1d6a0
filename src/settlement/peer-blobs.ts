import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { replaceFileAsync } from '../channel/durable-file.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { BLOB_KIND } from './records.ts';

/**
 * The files for blobs of peers, apart from the ledger: the newest of each contract. Throws the errors of
 * the file system.
 */
export type BlobFiles = {
  readonly read: (contractId: string) => Promise<string | undefined>;
  readonly replace: (contractId: string, sealed: string) => Promise<void>;
  readonly remove: (contractId: string) => Promise<void>;
};

/** Blob files in a folder, one for each contract; the folder is made with the first. */
export function blobFilesIn(directory: string): BlobFiles {
  const pathOf = (contractId: string): string => join(directory, `${contractId}.blob`);
  return {
    read: async (contractId) => {
      const path = pathOf(contractId);
      try {
        if ((await stat(path)).size > LIMITS.peerBlobChars) return undefined;
        return await readFile(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    replace: async (contractId, sealed) => {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await replaceFileAsync(pathOf(contractId), sealed);
    },
    remove: (contractId) => rm(pathOf(contractId), { force: true }),
  };
}

/** Blobs in memory, for a command or a test. */
export function blobsInMemory(): BlobFiles {
  const blobs = new Map<string, string>();
  return {
    read: async (contractId) => blobs.get(contractId),
    replace: async (contractId, sealed) => {
      blobs.set(contractId, sealed);
    },
    remove: async (contractId) => {
      blobs.delete(contractId);
    },
  };
}

export type PeerBlobsDeps = {
  readonly files: BlobFiles;
  /** Ledger in which earlier versions kept blobs; these are returned until there is a newer one. */
  readonly ledger: Pick<Ledger, 'get'>;
  readonly clock: Clock;
  readonly log: Logger;
};

/**
 * The store of the blobs that peers leave here against a loss of their ledgers. Peers fill it, so it is
 * bounded by the number of contracts, and by how often each blob may be replaced.
 */
export class PeerBlobs {
  readonly #deps: PeerBlobsDeps;
  readonly #rates = new Map<string, TokenBucket>();
  readonly #writing = new Set<string>();
  /** Contracts that are over. */
  readonly #dropped = new Set<string>();

  constructor(deps: PeerBlobsDeps) {
    this.#deps = deps;
  }

  /**
   * The newest blob of a contract; a folder that cannot be read counts as empty. Throws `ledger_corrupt`.
   */
  async get(contractId: string): Promise<string | undefined> {
    const { files, ledger, log } = this.#deps;
    try {
      const sealed = await files.read(contractId);
      if (sealed !== undefined) return sealed;
    } catch (error) {
      log.warn({ contract: contractId, error: String(error) }, 'a blob of the peer cannot be read');
    }
    return ledger.get(BLOB_KIND, contractId);
  }

  /** Removes the blob of a contract that is over, and takes none any more. Never throws. */
  async drop(contractId: string): Promise<void> {
    if (this.#dropped.has(contractId)) return;
    this.#dropped.add(contractId);
    const { files, log } = this.#deps;
    await files.remove(contractId).catch((error: unknown) => {
      log.warn({ contract: contractId, error: String(error) }, 'a blob of the peer cannot be removed');
    });
  }

  /**
   * Stores a blob; on disk when this resolves. Throws `too_often`, `unknown_channel` for a contract that is
   * over, and `overload` where the disk refuses it.
   */
  async put(contractId: string, sealed: string): Promise<void> {
    const { clock, files, log } = this.#deps;
    if (this.#dropped.has(contractId)) throw new CodedError('unknown_channel', 'the contract is over');
    if (this.#writing.has(contractId) || !this.#rateOf(contractId).take(clock.monotonicMs())) {
      throw new CodedError('too_often', 'a blob may be replaced once a minute', {
        limit: 'peerBlobsPerMinute',
      });
    }
    this.#writing.add(contractId);
    try {
      await files.replace(contractId, sealed);
    } catch (cause) {
      log.warn({ contract: contractId, error: String(cause) }, 'a blob of the peer cannot be kept');
      throw new CodedError('overload', 'it cannot be kept', { code: codeOf(cause) }, { cause });
    } finally {
      this.#writing.delete(contractId);
    }
  }

  #rateOf(contractId: string): TokenBucket {
    const known = this.#rates.get(contractId);
    if (known !== undefined) return known;
    const rate = { perSecond: LIMITS.peerBlobsPerMinute / 60, burst: LIMITS.peerBlobsPerMinute };
    const made = new TokenBucket(rate, this.#deps.clock.monotonicMs());
    this.#rates.set(contractId, made);
    return made;
  }
}
