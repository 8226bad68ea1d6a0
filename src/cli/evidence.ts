import { closeSync, fsyncSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { openForReading } from '../operator/channel-access.ts';
import { EvidenceExport, exportedContract } from '../operator/evidence-export.ts';
import { accessOf, contractWord, DEPS, print, READ_OPTIONS } from './channel-access.ts';
import type { Command } from './command.ts';

export const evidenceExport: Command = {
  name: 'evidence export',
  summary: 'everything of one contract that an auditor needs, in one file',
  usage: '[CONTRACT] --out FILE --config FILE | --ledger FILE',
  words: 1,
  help: [
    'Writes terms, states or totals, commitments, jobs and shares with their signatures; no keys, and nothing of other contracts.',
    'Works beside a running daemon and on a backup of the ledger. `sharestream audit FILE` reads it.',
    'CONTRACT is the id or the beginning of it; without it the only contract that is not over.',
  ],
  options: {
    ...READ_OPTIONS,
    out: { type: 'string', value: 'FILE', help: 'where it goes; a file that is there is not written over' },
  },
  run: async (options, io) => {
    const out = options.text('out');
    if (out === undefined) throw new CodedError('usage', '--out is missing');
    const file = resolve(out);
    const prefix = contractWord(options);
    const ledger = await openForReading(accessOf(options, io), DEPS.log);
    try {
      const exported = await exportedContract(ledger, prefix);
      const evidence = new EvidenceExport(ledger, exported);
      const program = `sharestream ${VERSION}`;
      const bytes = await writeNew(file, evidence.bytes({ atMs: DEPS.clock.nowMs(), program }));
      const { contractId, role, params } = exported;
      const { counts } = evidence;
      const signed = params === undefined ? `${counts.commitments} totals` : `${counts.states} states`;
      const text = `${signed} and ${counts.shares} shares of ${contractId.slice(0, 16)} in ${file}`;
      print(options, io, { file, contract: contractId, role, bytes, ...counts }, text);
      return 0;
    } finally {
      await ledger.close();
    }
  },
};

/** Writes a file, nothing where that fails; returns its size. Throws `output_refused` where it is there. */
async function writeNew(path: string, parts: AsyncIterable<Uint8Array>): Promise<number> {
  const file = openNew(path);
  let bytes = 0;
  try {
    for await (const part of parts) {
      for (let at = 0; at < part.length; ) at += writeSync(file, part, at);
      bytes += part.length;
    }
    fsyncSync(file);
    return bytes;
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(file);
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, 'wx', 0o600);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw cause;
    throw new CodedError('output_refused', `${path} exists already`, {}, { cause });
  }
}
