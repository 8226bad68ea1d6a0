import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { replaceFileAsync } from '../channel/durable-file.ts';
import { type Codec, type CodecValue, hexOf, listOf, object, text } from '../peer/codec.ts';
import { jobId, workJobCodec } from '../peer/work-codecs.ts';
import type { JobId } from '../stratum/job-id.ts';

/**
 * The jobs that were given under contracts, apart from the ledger: they are many, and of no use once no
 * share of them can be credited. Throws the errors of the file system.
 */
export type WorkFiles = {
  /** The lines written last, oldest first; none where there is no file. */
  readonly read: (contractId: string) => Promise<readonly string[]>;
  /** On disk when it resolves. */
  readonly append: (contractId: string, lines: readonly string[]) => Promise<void>;
  readonly replace: (contractId: string, lines: readonly string[]) => Promise<void>;
  readonly remove: (contractId: string) => Promise<void>;
};

const keptCodec = object({
  instance: ['instance', hexOf(16)],
  pool: ['pool', text(200)],
  job: ['job', workJobCodec],
});
/** A job that was given, as it is kept. */
export type KeptJob = CodecValue<typeof keptCodec>;

/** The line of a job. */
export function keptLine(kept: KeptJob): string {
  const { instance, pool, job } = kept;
  return JSON.stringify(keptCodec.print({ instance, pool, job }));
}

const endCodec = object({ ended: ['ended', listOf(jobId, LIMITS.peerJobs)] });

/** The line that ends jobs: no share of them is credited any more. */
export function endLine(ended: readonly JobId[]): string {
  return JSON.stringify(endCodec.print({ ended }));
}

/**
 * What the lines of a file come to: the jobs that are not over, and the newest id that it names, 0 for none.
 * A line that was not written to its end says nothing.
 */
export function jobsOfLines(lines: readonly string[]): {
  readonly jobs: readonly KeptJob[];
  readonly newestId: JobId;
} {
  const jobs = new Map<JobId, KeptJob>();
  let newestId = 0;
  for (const line of lines) {
    const kept = parsed(keptCodec, line);
    if (kept !== undefined) jobs.set(kept.job.id, kept);
    const ended = parsed(endCodec, line)?.ended ?? [];
    for (const id of ended) jobs.delete(id);
    newestId = Math.max(newestId, kept?.job.id ?? 0, ...ended);
  }
  return { jobs: [...jobs.values()], newestId };
}

function parsed<T>(codec: Codec<T>, line: string): T | undefined {
  try {
    return codec.parse(JSON.parse(line));
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'protocol') return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** Job files in a folder, one for each contract; the folder is made with the first. */
export function workFilesIn(directory: string): WorkFiles {
  const pathOf = (contractId: string): string => join(directory, `${contractId}.jobs`);
  const write = async (contractId: string, lines: readonly string[]): Promise<void> => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await replaceFileAsync(pathOf(contractId), lines.map((line) => `${line}\n`).join(''));
  };
  return {
    read: async (contractId) => {
      try {
        return (await readFile(pathOf(contractId), 'utf8')).split('\n').filter((line) => line !== '');
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    },
    append: async (contractId, lines) => {
      let file: Awaited<ReturnType<typeof open>>;
      try {
        // A file that is there: making one is durable only with its folder.
        file = await open(pathOf(contractId), 'r+');
      } catch (error) {
        if (!isMissing(error)) throw error;
        return write(contractId, lines);
      }
      try {
        const { size } = await file.stat();
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const { bytesWritten } = await file.write(bytes, 0, bytes.length, size);
        if (bytesWritten !== bytes.length) throw new Error('short write');
        await file.datasync();
      } finally {
        await file.close();
      }
    },
    replace: write,
    remove: (contractId) => rm(pathOf(contractId), { force: true }),
  };
}

/** Job files in memory, for a test. */
export function workFilesInMemory(): WorkFiles {
  const files = new Map<string, readonly string[]>();
  return {
    read: async (contractId) => files.get(contractId) ?? [],
    append: async (contractId, lines) => {
      files.set(contractId, [...(files.get(contractId) ?? []), ...lines]);
    },
    replace: async (contractId, lines) => {
      files.set(contractId, lines);
    },
    remove: async (contractId) => {
      files.delete(contractId);
    },
  };
}
