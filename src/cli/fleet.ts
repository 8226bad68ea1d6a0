import { CodedError } from '../base/errors.ts';
import { FleetReader } from '../ledger/postgres/fleet-reader.ts';
import { PostgresLeases } from '../ledger/postgres/leases.ts';
import { verifyPostgresFleet } from '../ledger/postgres/verify-fleet.ts';
import { channelAccess, ledgerPlace } from '../operator/channel-access.ts';
import type { LedgerPlace } from '../operator/ledger-place.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

type Postgres = NonNullable<LedgerPlace['postgres']>;

export const fleetCommand: Command = {
  name: 'fleet',
  summary: 'the instances that share a ledger on PostgreSQL, and what each owns',
  usage: 'status|verify --config FILE',
  words: 1,
  help: [
    'status    lists every instance with the end of its chain, and every lease: whose it is, its token, for how long.',
    'verify    replays the chains of all instances, and holds what was written under leases against each other: nobody',
    '          wrote for a channel after another had taken it over.',
    '',
    'Both work beside running daemons, and change nothing.',
  ],
  options: {
    config: { type: 'string', value: 'FILE', help: 'configuration (TOML) of one of the daemons' },
  },
  run: async (options, io) => {
    const [action] = options.positionals;
    const { postgres } = ledgerPlace(
      channelAccess({
        configFile: options.text('config'),
        ...{ ledgerFile: undefined, keyFile: undefined, node: undefined, env: io.env },
      }),
    );
    if (postgres === undefined)
      throw new CodedError('usage', 'the ledger is a file, and of one daemon alone: see ledger.url');
    if (action === 'status') return await status(postgres, options, io);
    if (action === 'verify') return await verify(postgres, options, io);
    throw new CodedError('usage', 'say `fleet status` or `fleet verify`');
  },
};

async function status(postgres: Postgres, options: ParsedOptions, io: CommandIo): Promise<number> {
  const leases = new PostgresLeases(postgres);
  const reader = await FleetReader.open(postgres);
  try {
    const instances = (await reader.instances()).map(({ instance, head }) => ({
      ...{ instance, rows: head.seq, last_commit_at_ms: head.atMs },
    }));
    const owned = (await leases.list()).map(({ resource, owner, token, leftMs, home }) => ({
      ...{ resource, owner, token, left_ms: leftMs, home: home ?? '' },
    }));
    const lines = [
      ...instances.map(
        (each) =>
          `instance ${each.instance}  ${each.rows} rows, the last at ${dateOf(each.last_commit_at_ms)}`,
      ),
      ...owned.map(
        ({ resource, owner, token, left_ms: leftMs }) =>
          `lease ${resource}  ${owner}, token ${token}, ${leftMs > 0 ? `${leftMs} ms left` : 'over: free to be taken'}`,
      ),
    ];
    const text = options.flag('json') ? JSON.stringify({ instances, leases: owned }) : lines.join('\n');
    io.stdout.write(`${text}\n`);
    return 0;
  } finally {
    await Promise.all([reader.close(), leases.close()]);
  }
}

async function verify(postgres: Postgres, options: ParsedOptions, io: CommandIo): Promise<number> {
  const result = await verifyPostgresFleet(postgres);
  const isSound =
    result.problem === undefined && result.chains.every(({ verification }) => verification.ok);
  const lines = result.chains.map(({ instance, verification }) =>
    verification.ok
      ? `${instance}: ${verification.rows} rows, head ${verification.headHash}`
      : `${instance}: row ${verification.firstBadSeq}: ${verification.problem}`,
  );
  lines.push(result.problem ?? (isSound ? 'the ledger is sound, of all instances' : 'a chain is damaged'));
  io.stdout.write(
    `${options.flag('json') ? JSON.stringify({ ok: isSound, ...result }) : lines.join('\n')}\n`,
  );
  return isSound ? 0 : 1;
}

function dateOf(atMs: number): string {
  return atMs === 0 ? 'no time' : new Date(atMs).toISOString();
}
