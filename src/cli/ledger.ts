import { once } from 'node:events';
import { resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { backupLedger } from '../ledger/backup.ts';
import { exportedRows, segmentsOf } from '../ledger/export.ts';
import { migratePostgres } from '../ledger/postgres/migrate.ts';
import { verifyPostgresLedger } from '../ledger/postgres/verify.ts';
import { verifyLedger } from '../ledger/verify.ts';
import { silentLogger } from '../log/logger.ts';
import { channelAccess, ledgerPlace } from '../operator/channel-access.ts';
import { type LedgerPlace, openLedgerForReading } from '../operator/ledger-place.ts';
import { STREAM_KIND } from '../work/evidence.ts';
import { evidenceLines } from '../work/evidence-lines.ts';
import { parseStreamTotal } from '../work/meters.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

/** What there is to do with a file alone. */
const OF_A_FILE: readonly string[] = ['backup', 'segments', 'export'];

export const ledgerCommand: Command = {
  name: 'ledger',
  summary: 'verify a ledger, back it up, list its streams, or export the evidence of one',
  usage: 'verify|backup|streams|evidence|segments|export|migrate --config FILE [--out FILE] [--stream ID]',
  words: 1,
  help: [
    'verify    replays the hash-chained journal and compares it with the documents.',
    'backup    copies it to --out FILE (mode 0600, never over another file), and verifies the copy.',
    'streams   lists the evidence streams with their shares and their work.',
    'evidence  prints a stream as JSON lines, from which anyone can recompute every hash and every sat.',
    'segments  lists the compressed segments that old rows were moved into.',
    'export    prints every row as a JSON line, in order and with its hash, those in segments too.',
    'migrate   brings the tables of a PostgreSQL to this version, as their owner (SHARESTREAM_LEDGER__URL).',
    '',
    'All but migrate work beside a running daemon. A ledger on PostgreSQL is backed up by its own tools, and has no',
    'segments; verify, streams and evidence read it too. Never copy the file of a running ledger: the copy may be torn.',
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
    const place = ledgerPlace(
      channelAccess({
        configFile: options.text('config'),
        ledgerFile: options.text('path'),
        ...{ keyFile: undefined, node: undefined, env: io.env },
      }),
    );
    const { path, postgres } = place;
    if (action === 'migrate') return await migrate(place, io);
    if (action === 'verify') return await verify(place, options, io);
    if (postgres !== undefined && action !== undefined && OF_A_FILE.includes(action))
      throw new CodedError('usage', `the ledger is on PostgreSQL: \`ledger ${action}\` is for a file`);
    if (action === 'backup') return await backUp(path, options, io);
    if (action === 'segments') return listSegments(path, options, io);
    if (action === 'export') return await exportRows(path, io);
    if (action !== 'streams' && action !== 'evidence') {
      throw new CodedError(
        'usage',
        'say `ledger verify`, `backup`, `streams`, `evidence`, `segments`, `export` or `migrate`',
      );
    }
    const ledger = await openLedgerForReading(place, { log: silentLogger });
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

async function migrate({ postgres }: LedgerPlace, io: CommandIo): Promise<number> {
  if (postgres === undefined)
    throw new CodedError('usage', 'a ledger that is a file is migrated when it is opened');
  const count = await migratePostgres(postgres);
  io.stdout.write(`the database has all ${count} migrations of this version\n`);
  return 0;
}

async function verify(
  { path, postgres }: LedgerPlace,
  options: ParsedOptions,
  io: CommandIo,
): Promise<number> {
  const result = postgres === undefined ? await verifyLedger(path) : await verifyPostgresLedger(postgres);
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
