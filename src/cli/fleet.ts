import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { formatSi } from '../base/units.ts';
import { type FleetRow, FleetTables } from '../daemon/fleet-tables.ts';
import { PostgresLeases } from '../ledger/postgres/leases.ts';
import { verifyPostgresFleet } from '../ledger/postgres/verify-fleet.ts';
import { requestAction } from '../operator/daemon-action.ts';
import type { LedgerPlace } from '../operator/ledger-place.ts';
import { ASK_ONLY, accessOf, daemonOf, print, READ_OPTIONS } from './channel-access.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

type Postgres = NonNullable<LedgerPlace['postgres']>;

export const fleetCommand: Command = {
  name: 'fleet',
  summary:
    'the instances that share a ledger on PostgreSQL: what each has and does, and what moves between them',
  usage: 'status|verify|drain INSTANCE|move CONTRACT INSTANCE --config FILE [--dry-run]',
  words: 3,
  help: [
    'status    lists every instance, what it has leased, and what would be if it died: who has its channels then, in what time,',
    '          and the most work that would be lost. One that told nothing for ten seconds is `gone`, and left out after a day.',
    'verify    replays the chains of all instances, and holds what was written under leases against each other: nobody',
    '          wrote for a channel after another had taken it over.',
    'drain     has an instance leave its channels and miners to the others: it takes no new connection, and those there are end',
    '          once their shares are answered (with `client.reconnect` where stratum.reconnect_at_close says so). It may be stopped',
    '          then, and serves again once it is started anew.',
    'move      hands the channel of a contract, by its name in the configuration, to an instance that serves it, too.',
    '',
    'status and verify work beside running daemons, or without one. drain and move ask the daemon of the configuration, whichever',
    'instance they are about: each is an event of its ledger.',
  ],
  options: { config: READ_OPTIONS['config']!, 'dry-run': ASK_ONLY },
  run: async (options, io) => {
    const [action, ...words] = options.positionals;
    if (action === 'drain') return await drain(words, options, io);
    if (action === 'move') return await move(words, options, io);
    const { postgres } = accessOf(options, io);
    if (postgres === undefined)
      throw new CodedError('usage', 'the ledger is a file, and of one daemon alone: see ledger.url');
    if (words.length === 0 && action === 'status') return await status(postgres, options, io);
    if (words.length === 0 && action === 'verify') return await verify(postgres, options, io);
    throw new CodedError('usage', 'say `fleet status`, `fleet verify`, `fleet drain` or `fleet move`');
  },
};

async function status(postgres: Postgres, options: ParsedOptions, io: CommandIo): Promise<number> {
  const tables = new FleetTables(postgres);
  const leases = new PostgresLeases(tables.link);
  try {
    const instances = await tables.rows();
    const free = (await leases.list()).filter(({ leftMs }) => leftMs <= 0);
    const lines = [
      ...instances.flatMap(instanceLines),
      ...free.map(({ resource, owner }) => `lease ${resource}  free to be taken; ${owner} had it`),
    ];
    const over = free.map(({ resource, owner, token }) => ({ resource, owner, token }));
    print(options, io, { instances, free_leases: over }, lines.join('\n'));
    return 0;
  } finally {
    await tables.close();
  }
}

function instanceLines(row: FleetRow): readonly string[] {
  const { instance, state, ago_ms: agoMs, site, version, sessions, hashes_per_second: rate } = row;
  const at = `${state}, ${(agoMs / 1000).toFixed(1)} s ago`;
  if (version === null) return [`instance ${instance}  ${at}: tells nothing of itself`];
  return [
    `instance ${instance}  ${at}  ${site === '' ? '' : `${site}  `}${version}  ${sessions} sessions, ` +
      `${formatSi(rate ?? 0, 'H/s')}, ${row.queued_writes} writes wait (${row.lag_ms} ms)`,
    ...row.leases.map(
      ({ resource, token, left_ms: leftMs, handed_to: to }) =>
        `  lease ${resource}  token ${token}, ${leftMs} ms left${to === null ? '' : `, to be handed to ${to}`}`,
    ),
    ...row.slices.map(
      ({ name, granted_hashes: granted, done_hashes: done }) =>
        `  slice of ${name}  ${done} of ${granted} hashes used`,
    ),
    ...row.if_dead.map(ifDeadLine),
    ...(row.own_contracts === 0
      ? []
      : [`  if it died: ${row.own_contracts} contracts of its own stand still`]),
  ];
}

function ifDeadLine({
  name,
  taken_within_ms: ms,
  takers,
  at_risk_hashes: risk,
}: FleetRow['if_dead'][number]) {
  const others = takers.length === 0 ? 'nobody' : takers.join(' or ');
  const channel = ms === null ? '' : `${others} has the channel of ${name} within ${ms} ms, and `;
  return `  if it died: ${channel}at most ${risk} hashes of ${name} are lost`;
}

async function drain(words: readonly string[], options: ParsedOptions, io: CommandIo): Promise<number> {
  const [instance, ...rest] = words;
  if (instance === undefined || rest.length > 0)
    throw new CodedError('usage', 'say which: `fleet drain INSTANCE`');
  const answer = await ask('fleet/drain', { instance }, options, io);
  const isAsked = answer['drains'] === true;
  const text = isAsked ? 'leaves its channels and miners to the others' : 'would be drained';
  print(options, io, answer, `${instance} ${text}`);
  return 0;
}

async function move(words: readonly string[], options: ParsedOptions, io: CommandIo): Promise<number> {
  const [name, instance] = words;
  if (name === undefined || instance === undefined)
    throw new CodedError('usage', 'say what and where: `fleet move CONTRACT INSTANCE`');
  const answer = await ask('fleet/move', { name, instance }, options, io);
  const verb = answer['moves'] === true ? 'goes' : 'would go';
  print(options, io, answer, `${name} ${verb} from ${String(answer['from'])} to ${instance}`);
  return 0;
}

async function ask(
  action: 'fleet/drain' | 'fleet/move',
  fields: object,
  options: ParsedOptions,
  io: CommandIo,
): Promise<Readonly<Record<string, unknown>>> {
  const { url, dataDir } = daemonOf(options, io);
  const answer = await requestAction(url, dataDir, action, { ...fields, dry_run: options.flag('dry-run') });
  return isRecord(answer) ? answer : {};
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
  print(options, io, { ok: isSound, ...result }, lines.join('\n'));
  return isSound ? 0 : 1;
}
