import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { formatGrouped, formatSi } from '../base/units.ts';
import { runDemo } from '../daemon/demo.ts';
import { type DemoSnapshot, plainLine, renderDemo } from '../daemon/demo-view.ts';
import { type Command, type CommandIo, numberOption, type ParsedOptions } from './command.ts';
import { paint, Screen, usesColour } from './screen.ts';

const DEFAULT_SECONDS = 60;
/** Between two lines where there is no terminal. */
const PLAIN_MS = 2_000;

export const demoCommand: Command = {
  name: 'demo',
  summary: 'the whole thing on this machine: miners, proxy, market maker, channel, chain',
  usage: '[--seconds N] [--binding bead|work] [--thief PART] [--out DIR] [--stratum HOST:PORT]',
  help: [
    'Starts a simulated Braidpool node and chain (with true proof of work), miners that really hash, a proxy and a market',
    'maker as processes of their own, streams payments for N seconds, then closes the channel and checks the result.',
    'Ctrl+C ends the streaming early and still closes the channel.',
  ],
  options: {
    seconds: {
      type: 'string',
      value: 'N',
      help: `how long payments are streamed (default ${DEFAULT_SECONDS})`,
    },
    binding: {
      type: 'string',
      value: 'WHAT',
      help: 'bead: the beads of the miner pay the market maker (default); work: its jobs come from a pool of the maker',
    },
    thief: {
      type: 'string',
      value: 'PART',
      help: 'the part of the beads, such as 0.3, that pay the miner and not the market maker (default 0)',
    },
    out: {
      type: 'string',
      value: 'DIR',
      help: 'where ledgers, logs and evidence.jsonl go (default: a new folder)',
    },
    stratum: {
      type: 'string',
      value: 'HOST:PORT',
      help: 'where miners connect (default 127.0.0.1:3333; port 0 takes any)',
    },
  },
  run: async (options, io) => {
    const isJson = options.flag('json');
    const seconds = numberOption(options, 'seconds', DEFAULT_SECONDS);
    const thief = numberOption(options, 'thief', 0);
    if (thief > 1) throw new CodedError('usage', '--thief must be a part of 1');
    const binding = options.text('binding') ?? 'bead';
    if (binding !== 'bead' && binding !== 'work')
      throw new CodedError('usage', '--binding must be bead or work');
    if (binding === 'work' && thief > 0)
      throw new CodedError('usage', '--thief is for beads: jobs of the maker name no payee of the miner');
    const directory = options.text('out') ?? mkdtempSync(join(tmpdir(), 'sharestream-demo-'));
    const viewer = viewerOf(isJson ? io.stderr : io.stdout, io.env);
    const stop = new AbortController();
    const onSignal = (): void => {
      if (stop.signal.aborted) process.exit(1);
      stop.abort();
    };
    process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
    const result = await runDemo({
      ...{ seconds, thief, binding },
      directory,
      stratum: stratumOf(options),
      onView: (snapshot) => viewer.show(snapshot),
      signal: stop.signal,
    }).finally(() => viewer.end());
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    if (isJson) io.stdout.write(`${JSON.stringify(result)}\n`);
    else io.stdout.write(`${closing(result, directory)}\n`);
    return 0;
  },
};

function stratumOf(options: ParsedOptions): { host: string; port: number } {
  const text = options.text('stratum') ?? '127.0.0.1:3333';
  const match = /^(.+):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[2]) > 65_535) {
    throw new CodedError('usage', '--stratum must be HOST:PORT');
  }
  return { host: match[1]!, port: Number(match[2]) };
}

/** On a terminal a view that fills it; elsewhere a line every few seconds. */
function viewerOf(out: CommandIo['stdout'], env: CommandIo['env']): Viewer {
  if (out.isTTY && env['TERM'] !== 'dumb') return new Screen(out, { env, render: renderDemo });
  const hasColour = usesColour(out, env);
  let lastMs = Number.NEGATIVE_INFINITY;
  return {
    show: (snapshot) => {
      if (performance.now() - lastMs < PLAIN_MS) return;
      lastMs = performance.now();
      out.write(`${paint(plainLine(snapshot), hasColour)}\n`);
    },
    end: () => {},
  };
}

type Viewer = { show(snapshot: DemoSnapshot): void; end(): void };

type PoolShares = { readonly accepted: number; readonly blocks: number };

/** What the pool of the maker has of the work. */
function poolLines({ accepted, blocks }: PoolShares): string[] {
  return [`The pool of the market maker took ${accepted} shares of it, ${blocks} of them blocks.`];
}

type Beads = { readonly paid?: number; readonly stolen?: string; readonly redirected: number };

/** What the maker has for its money, and whom a stolen bead pays. */
function beadLines({ paid = 0, stolen, redirected }: Beads): string[] {
  const bought = `The market maker has ${paid} beads of it in its Braidpool node.`;
  if (stolen === undefined) return [bought];
  return [
    bought,
    `A bead of a share that was sold pays ${stolen.replace(/^address /, '')} (${redirected} in all): it credited`,
    'nothing more from there on, and the hashrate went to the own pool.',
  ];
}

function closing(result: Record<string, unknown>, directory: string): string {
  const work = formatSi(Number(result['work_hashes']), 'H');
  const [state, paid] = [String(result['state_number']), formatGrouped(BigInt(String(result['paid_sat'])))];
  return [
    `The channel is closed on chain at state ${state}: ${paid} sat for ${work} of verified work.`,
    ...(result['pool'] === undefined
      ? beadLines(result['beads'] as Beads)
      : poolLines(result['pool'] as PoolShares)),
    `Transaction ${String(result['close_txid'])}`,
    `Evidence    ${String(result['evidence'])}`,
    `Logs        proxy.log, maker.log in ${directory}`,
  ].join('\n');
}
