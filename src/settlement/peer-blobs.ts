import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { replaceFileAsync } from '../channel/durable-file.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { BLOB_KIND } from './records.ts';

/** Where blobs of peers lie, apart from the ledger: the newest of each contract. Throws as a disk does. */
export type BlobFiles = {
  readonly read: (contractId: string) => Promise<string | undefined>;
  readonly replace: (contractId: string, sealed: string) => Promise<void>;
};

/** One file for each contract, in a folder that is made with the first. */
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
  };
}

/** For a run that keeps nothing: of a command, or a test. */
export function blobsInMemory(): BlobFiles {
  const blobs = new Map<string, string>();
  return {
    read: async (contractId) => blobs.get(contractId),
    replace: async (contractId, sealed) => {
      blobs.set(contractId, sealed);
    },
  };
}

export type PeerBlobsDeps = {
  readonly files: BlobFiles;
  /** Earlier versions kept blobs here: they are given back until there is a newer one. */
  readonly ledger: Pick<Ledger, 'get'>;
  readonly clock: Clock;
  readonly log: Logger;
};

/**
 * What peers leave here for the day their own ledger is gone. It is theirs to fill, so it is bounded by the
 * number of contracts, and by how often each may be replaced.
 */
export class PeerBlobs {
  readonly #deps: PeerBlobsDeps;
  readonly #rates = new Map<string, TokenBucket>();
  readonly #writing = new Set<string>();

  constructor(deps: PeerBlobsDeps) {
    this.#deps = deps;
  }

  /** A folder that cannot be read keeps nobody from going on. Throws `ledger_corrupt`. */
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

  /** On disk when it resolves. Throws `too_often`, and `overload` where the disk refuses it. */
  async put(contractId: string, sealed: string): Promise<void> {
    const { clock, files, log } = this.#deps;
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
