import { once } from 'node:events';
import { resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { backupLedger } from '../ledger/backup.ts';
import { exportedRows, segmentsOf } from '../ledger/export.ts';
import { openSqliteLedger } from '../ledger/sqlite-ledger.ts';
import { verifyLedger } from '../ledger/verify.ts';
import { silentLogger } from '../log/logger.ts';
import { channelAccess, ledgerFileOf } from '../operator/channel-access.ts';
import { STREAM_KIND } from '../work/evidence.ts';
import { evidenceLines } from '../work/evidence-lines.ts';
import { parseStreamTotal } from '../work/meters.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

export const ledgerCommand: Command = {
  name: 'ledger',
  summary: 'verify a ledger, back it up, list its streams, or export the evidence of one',
  usage: 'verify|backup|streams|evidence|segments|export --config FILE [--out FILE] [--stream ID]',
  words: 1,
  help: [
    'verify    replays the hash-chained journal and compares it with the documents.',
    'backup    copies it to --out FILE (mode 0600, never over another file), and verifies the copy.',
    'streams   lists the evidence streams with their shares and their work.',
    'evidence  prints a stream as JSON lines, from which anyone can recompute every hash and every sat.',
    'segments  lists the compressed segments that old rows were moved into.',
    'export    prints every row as a JSON line, in order and with its hash, those in segments too.',
    '',
    'All of them work beside a running daemon. Never copy the file of a running ledger: the copy may be torn.',
    'To restore, stop the daemon, put the copy in the place of ledger.sqlite and its -segments folder in that of',
    'ledger.sqlite-segments, remove ledger.sqlite-wal and -shm, and start.',
    'Leave signer/ as it is: by it a market maker sees that the ledger is an older one, and pays no work twice.',
  ],
  options: {
    config: {
      type: 'string',
      value: 'FILE',
      help: 'configuration (TOML) of the daemon whose ledger it is',
    },
    path: { type: 'string', value: 'FILE', help: 'the ledger itself, ledger.sqlite in the data directory' },
    out: { type: 'string', value: 'FILE', help: 'where the backup goes' },
    stream: { type: 'string', value: 'ID', help: 'a contract id, or own:<destination>' },
  },
  run: async (options, io) => {
    const [action] = options.positionals;
    const path = ledgerFileOf(
      channelAccess({
        configFile: options.text('config'),
        ledgerFile: options.text('path'),
        ...{ keyFile: undefined, node: undefined, env: io.env },
      }),
    );
    if (action === 'verify') return await verify(path, options, io);
    if (action === 'backup') return await backUp(path, options, io);
    if (action === 'segments') return listSegments(path, options, io);
    if (action === 'export') return await exportRows(path, io);
    if (action !== 'streams' && action !== 'evidence') {
      throw new CodedError(
        'usage',
        'say `ledger verify`, `backup`, `streams`, `evidence`, `segments` or `export`',
      );
    }
    const ledger = await openSqliteLedger({ path, readOnly: true }, { log: silentLogger });
    try {
      if (action === 'streams') {
        const rows = (await ledger.list(STREAM_KIND)).map(({ id, body }) => {
          const { seq, workHashes } = parseStreamTotal(id, body);
          return { stream: id, shares: seq, work_hashes: workHashes.toString() };
        });
        const lines = rows.map((row) => `${row.stream}  ${row.shares} shares  ${row.work_hashes} hashes`);
        io.stdout.write(`${options.flag('json') ? JSON.stringify(rows) : lines.join('\n')}\n`);
        return 0;
      }
      const stream = options.text('stream');
      if (stream === undefined) throw new CodedError('usage', '--stream is missing; see `ledger streams`');
      for await (const line of evidenceLines(ledger, stream)) {
        if (!io.stdout.write(`${line}\n`)) await once(io.stdout, 'drain');
      }
      return 0;
    } finally {
      await ledger.close();
    }
  },
};

async function verify(path: string, options: ParsedOptions, io: CommandIo): Promise<number> {
  const result = await verifyLedger(path);
  const text = result.ok
    ? `the ledger is sound: ${result.rows} rows, head ${result.headHash}`
    : `row ${result.firstBadSeq}: ${result.problem}`;
  io.stdout.write(`${options.flag('json') ? JSON.stringify(result) : text}\n`);
  return result.ok ? 0 : 1;
}

function listSegments(path: string, options: ParsedOptions, io: CommandIo): number {
  const rows = segmentsOf(path);
  const lines = rows.map(({ file, first, last, until, bytes }) =>
    [file ?? '(let go of)', `rows ${first} to ${last}`, `until ${until}`, `${bytes} bytes`].join('  '),
  );
  io.stdout.write(`${options.flag('json') ? JSON.stringify(rows) : lines.join('\n')}\n`);
  return 0;
}

async function exportRows(path: string, io: CommandIo): Promise<number> {
  for (const row of exportedRows(path))
    if (!io.stdout.write(`${JSON.stringify(row)}\n`)) await once(io.stdout, 'drain');
  return 0;
}

async function backUp(path: string, options: ParsedOptions, io: CommandIo): Promise<number> {
  const out = options.text('out');
  if (out === undefined) throw new CodedError('usage', '--out is missing');
  const file = resolve(out);
  const { rows, headHash } = await backupLedger(path, file);
  const text = `${rows} rows copied to ${file} and verified, head ${headHash}`;
  io.stdout.write(`${options.flag('json') ? JSON.stringify({ file, rows, headHash }) : text}\n`);
  return 0;
}
