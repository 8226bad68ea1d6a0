import { sleep } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { priceText } from '../base/price.ts';
import { systemTimers } from '../base/system-timers.ts';
import { printable } from '../base/text.ts';
import { formatSi } from '../base/units.ts';
import { fetchStatus } from '../daemon/status-client.ts';
import { readToken } from '../http/token.ts';
import { accessOf, secondsOption } from './channel-access.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

const CLEAR = '\u001b[H\u001b[2J';

export const statusCommand: Command = {
  name: 'status',
  summary: 'what a running daemon does now: miners, destinations, contracts, the chain',
  usage: '--config FILE | --url URL [--token-file FILE] [--every SECONDS]',
  help: [
    'Asks the daemon of the configuration, or the one at URL (its metrics.listen), such as http://127.0.0.1:9332.',
    'With --every it is asked again and again, until Ctrl+C or until it does not answer.',
  ],
  options: {
    config: { type: 'string', value: 'FILE', help: 'configuration (TOML) of the daemon' },
    url: { type: 'string', value: 'URL', help: 'where it serves /api/v1' },
    'token-file': { type: 'string', value: 'FILE', help: 'a token of a daemon on another machine' },
    every: { type: 'string', value: 'SECONDS', help: 'ask again each so many seconds' },
  },
  run: async (options, io) => {
    const { url, token } = daemonAt(options, io);
    const onMisfit = (why: string): void =>
      void io.stderr.write(`the daemon is of another version: ${word(why)}\n`);
    const seconds = secondsOption(options, 'every');
    for (;;) {
      const status = await fetchStatus(url, { token, onMisfit });
      const text = options.flag('json') ? JSON.stringify(status) : statusText(status).join('\n');
      const isLive = seconds !== undefined && io.stdout.isTTY && !options.flag('json');
      io.stdout.write(`${isLive ? CLEAR : ''}${text}\n`);
      if (seconds === undefined) return 0;
      await sleep(systemTimers, Math.max(1, seconds) * 1000);
    }
  },
};

/** The daemon that is asked, and the token that is shown to it: on this machine it takes none. */
function daemonAt(
  options: ParsedOptions,
  io: CommandIo,
): { readonly url: string; readonly token?: string } {
  const [url, file] = [options.text('url'), options.text('token-file')];
  const token = file === undefined ? {} : { token: readToken(file) };
  if (url === undefined) {
    const { daemon } = accessOf(options, io);
    if (daemon !== undefined) return { url: daemon.url, ...token };
    throw new CodedError('usage', 'say which daemon: --config FILE or --url URL');
  }
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol))
    throw new CodedError('usage', '--url must be an http or https URL');
  return { url: parsed.origin, ...token };
}

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields => (isRecord(value) ? value : {});
const listOf = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.map(fieldsOf) : []);
/** Whatever it says is shown, and harms no terminal. */
const word = (value: unknown): string =>
  printable(typeof value === 'string' ? value : (JSON.stringify(value) ?? '?'), '?').slice(0, 120);
const rate = (value: unknown): string => formatSi(Number(value ?? 0), 'H/s');
const work = (value: unknown): string => formatSi(Number(value ?? 0), 'H');

/** The status of a proxy or a market maker for a person; what is missing is left out. */
export function statusText(status: Fields): string[] {
  const head = `${word(status['role'])} ${word(status['version'])} on ${word(status['network'])}`;
  const node = status['node_id'] === undefined ? [] : [`node       ${word(status['node_id'])}`];
  const closing = fieldsOf(status['closing_only']);
  return [
    head,
    ...node,
    ...(status['role'] === 'proxy' ? minersText(status) : []),
    ...listOf(status['destinations']).map(destinationText),
    ...listOf(status['contracts']).flatMap(status['role'] === 'maker' ? makerContractText : contractText),
    ...listOf(Array.isArray(status['metering']) ? status['metering'] : [status['metering']]).flatMap(
      meteringText,
    ),
    ...listOf(status['finished_contracts']).map(
      ({ name, reason }) =>
        `finished   ${word(name)}: ${word(reason)}; another contract.name is for the next`,
    ),
    ...(closing['reason'] === undefined || closing['reason'] === null
      ? []
      : [`CLOSING ONLY  ${word(closing['reason'])}`]),
    ...chainText(fieldsOf(status['chain'])),
    ...(typeof status['last_peer_error'] === 'string'
      ? [`maker      ${word(status['last_peer_error'])}`]
      : []),
  ];
}

function minersText(status: Fields): string[] {
  const { accepted, rejected, submitted } = fieldsOf(status['shares']);
  const refused = Object.entries(fieldsOf(rejected)).filter(([, count]) => Number(count) > 0);
  const why = refused.map(([code, count]) => `${word(code)} ${word(count)}`).join(', ');
  return [
    `miners     ${word(status['sessions'])} connected, ${word(fieldsOf(status['hashrate'])['text'])}, to ${word(status['destination'])}`,
    `shares     ${word(accepted)} of ${word(submitted)} accepted${why === '' ? '' : `; refused: ${why}`}`,
    ...slowText(listOf(status['miners'])),
    ...listOf(fieldsOf(status['luck'])['unlikely']).map(
      (each) => `LUCK       ${word(each['worker'])}: ${luckWords(each, word(each['solution']))}`,
    ),
  ];
}

/** The luck of a maker's contract; what has no work yet is left out. */
function luckText(luck: Fields): string[] {
  return ['block', 'upstream'].flatMap((solution) => {
    const each = fieldsOf(luck[solution]);
    return Number(each['expected'] ?? 0) > 0 ? [`  luck     ${luckWords(each, solution)}`] : [];
  });
}

function luckWords({ solutions, expected, least, most, fewer, more }: Fields, solution: string): string {
  const found = Number(solutions ?? 0);
  const unlikely = found < Number(least) || found > Number(most);
  const odds = Math.min(Number(fewer), Number(more)).toPrecision(2);
  const band = `${word(least)} to ${word(most)} are likely${unlikely ? `; UNLIKELY, ${odds}` : ''}`;
  return `${found} of ${Number(expected ?? 0).toPrecision(3)} expected for ${solution}, ${band}`;
}

/** Miners that a contract could not use, and why. */
function slowText(miners: readonly Fields[]): string[] {
  const slow = miners.filter(({ own_pool_reason: why }) => typeof why === 'string');
  if (slow.length === 0) return [];
  return [`own pool   ${slow.length} of them: ${word(slow[0]!['own_pool_reason'])}`];
}

function destinationText(destination: Fields): string {
  const { name, role, up, sessions, hashrate, last_failure: failure } = destination;
  const state = up === true ? 'up' : `DOWN${typeof failure === 'string' ? ` (${word(failure)})` : ''}`;
  const does = `${word(sessions)} miners, ${rate(fieldsOf(hashrate)['hashes_per_second'])}`;
  return `upstream   ${word(name)} (${word(role)}): ${state}, ${does}`;
}

function contractText(contract: Fields): string[] {
  const { id, state, connected, live, work_hashes: done, work_total_hashes: total } = contract;
  const { price_msat_per_eh: price, ignored_edits: edits } = contract;
  const channel = fieldsOf(contract['channel']);
  const words = [
    `${word(state)}, channel ${word(channel['state'])}`,
    connected === true ? 'connected' : 'NOT connected',
    live === true ? 'delivering' : 'not delivering',
  ];
  const lines = [`contract   ${word(id).slice(0, 16)}: ${words.join(', ')}`];
  if (done !== undefined && total !== undefined) lines.push(`  work     ${work(done)} of ${work(total)}`);
  if (typeof price === 'string' && /^\d{1,30}$/.test(price))
    lines.push(`  price    ${priceText(BigInt(price))}`);
  const { signed_sat: signed, accrued_sat: accrued, unspent_sat: unspent } = channel;
  if (signed !== undefined)
    lines.push(`  sats     ${word(signed)} signed, ${word(accrued)} unsigned, ${word(unspent)} unspent`);
  lines.push(
    ...leavingText(fieldsOf(contract['leaving'])),
    ...deliveryText(fieldsOf(contract['delivery'])),
    ...noticesText(fieldsOf(contract['notices'])),
  );
  const names = listOf(edits).map(({ term }) => word(term));
  if (names.length > 0)
    lines.push(`  edits    of ${names.join(', ')} have no effect: it keeps the terms it was signed with`);
  return lines;
}

/** What leaving would be to each side today, where that is known. */
function leavingText(leaving: Fields): string[] {
  const { value_msat_per_eh: value, pays } = leaving;
  if (value === undefined) return [];
  const sides = ['miner', 'maker'].map((side) => {
    const { gain_sat: gain, forfeit_sat: forfeit } = fieldsOf(leaving[side]);
    return `the ${side} would gain ${word(gain)} and lose ${word(forfeit)} sat`;
  });
  const alarm = typeof pays === 'string' ? `; LEAVING PAYS for the ${pays}` : '';
  return [`  leaving  at ${word(value)} msat/EH ${sides.join(', ')}${alarm}`];
}

/** Where delivery stands by both logs, and in the own view where that is another. */
function deliveryText({ agreed, own, missing_hashes: missing, cure_by_height: cureBy }: Fields): string[] {
  if (agreed === undefined) return [];
  const stands = own === agreed ? word(own) : `${word(own)} by the own log, ${word(agreed)} by both`;
  const cure = typeof cureBy === 'number' ? `; ${work(missing)} to be made up by block ${cureBy}` : '';
  return [`  delivery ${stands}${cure}`];
}

/** What either side said beyond the terms. */
function noticesText({ pauses, ends, written_off_sat: writtenOff }: Fields): string[] {
  const lines = ['miner', 'maker'].flatMap((side) => {
    const { reason, from_height: from, until_height: until } = fieldsOf(fieldsOf(pauses)[side]);
    const { height } = fieldsOf(fieldsOf(ends)[side]);
    const to = typeof until === 'number' ? ` to ${until}` : '';
    return [
      ...(reason === undefined
        ? []
        : [`  pause    of the ${side} (${word(reason)}) from block ${word(from)}${to}`]),
      ...(height === undefined ? [] : [`  notice   of the ${side}: it ends at block ${word(height)}`]),
    ];
  });
  return writtenOff === undefined ? lines : [...lines, `  VOID     ${word(writtenOff)} sat are given up`];
}

function makerContractText(contract: Fields): string[] {
  const { contract_id: id, channel, stream, connected, frozen } = contract;
  const { verified_work_hashes: done, paid_sat: paid } = contract;
  const link = connected === true ? 'connected' : 'NOT connected';
  const lines = [
    `contract   ${word(id).slice(0, 16)}: ${word(stream)}, channel ${word(channel)}, ${link}`,
    `  work     ${work(done)} verified, ${word(paid)} sat signed`,
    ...luckText(fieldsOf(contract['luck'])),
    ...leavingText(fieldsOf(contract['leaving'])),
    ...deliveryText(fieldsOf(contract['delivery'])),
    ...noticesText(fieldsOf(contract['notices'])),
  ];
  return frozen === undefined ? lines : [...lines, `  FROZEN   ${word(frozen)}`];
}

function meteringText(metering: Fields): string[] {
  const { contract_id: id, status, end_reason: endReason, connected, totals } = metering;
  if (id === undefined) return [];
  const { verified_work_hashes: done, work_total_hashes: total, signed_work_hashes: signed } = metering;
  const stands = `${word(status)}${typeof endReason === 'string' ? ` (${word(endReason)})` : ''}`;
  const link = connected === true ? 'connected' : 'NOT connected';
  return [
    `metering   ${word(id).slice(0, 16)}: ${stands}, without money, ${link}`,
    `  work     ${work(done)} of ${work(total)} verified, ${work(signed)} signed by both in ${word(totals)} totals`,
  ];
}

function chainText({ height, stalled, nodes }: Fields): string[] {
  if (nodes === undefined) return [];
  const states = listOf(nodes).map(({ name, state }) => `${word(name)} ${word(state)}`);
  const stands = stalled === true ? ', STALLED' : '';
  return [`chain      block ${word(height)}${stands}; ${states.join(', ')}`];
}
