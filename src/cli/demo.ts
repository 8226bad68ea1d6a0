import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { formatGrouped, formatSi } from '../base/units.ts';
import { runDemo } from '../daemon/demo.ts';
import { type DemoSnapshot, renderDemo } from '../daemon/demo-view.ts';
import { type Command, type CommandIo, numberOption, type ParsedOptions } from './command.ts';

const DEFAULT_SECONDS = 60;

export const demoCommand: Command = {
  name: 'demo',
  summary: 'the whole thing on this machine: miners, proxy, market maker, channel, chain',
  usage: '[--seconds N] [--out DIR] [--stratum HOST:PORT]',
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
    const directory = options.text('out') ?? mkdtempSync(join(tmpdir(), 'sharestream-demo-'));
    const screen = new Screen(isJson ? io.stderr : io.stdout);
    const stop = new AbortController();
    const onSignal = (): void => {
      if (stop.signal.aborted) process.exit(1);
      stop.abort();
    };
    process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
    const result = await runDemo({
      seconds,
      directory,
      stratum: stratumOf(options),
      onView: (snapshot) => screen.show(snapshot),
      signal: stop.signal,
    });
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    if (isJson) io.stdout.write(`${JSON.stringify(result)}\n`);
    else io.stdout.write(`\n${closing(result)}\n`);
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

/** Redraws in place on a terminal; elsewhere writes a line every few seconds. */
class Screen {
  readonly #out: CommandIo['stdout'];
  #lines = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(out: CommandIo['stdout']) {
    this.#out = out;
  }

  show(snapshot: DemoSnapshot): void {
    if (this.#out.isTTY) {
      const lines = renderDemo(snapshot);
      const up = this.#lines === 0 ? '' : `\u001b[${this.#lines}A`;
      this.#out.write(`${up}${lines.map((line) => `\u001b[2K${line}\n`).join('')}`);
      this.#lines = lines.length;
      return;
    }
    if (performance.now() - this.#lastMs < 2_000) return;
    this.#lastMs = performance.now();
    this.#out.write(
      `${snapshot.phase}: ${formatSi(snapshot.hashratePerSecond, 'H/s')}, ${snapshot.accepted} shares accepted, ` +
        `state ${snapshot.stateNumber}, ${formatGrouped(snapshot.signedSat + snapshot.settledSat)} sat signed, ` +
        `stratum ${snapshot.stratumListen}\n`,
    );
  }
}

function closing(result: Record<string, unknown>): string {
  const work = formatSi(Number(result['work_hashes']), 'H');
  return [
    `The channel is closed on chain at state ${result['state_number']}: ${result['paid_sat']} sat for ${work} of verified work.`,
    `Transaction ${result['close_txid']}`,
    `Evidence    ${result['evidence']}`,
  ].join('\n');
}
